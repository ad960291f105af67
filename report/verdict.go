package report

import "slices"

// The verdicts of commands other than check.
const (
	Done      = Verdict("DONE")
	Forced    = Verdict("FORCED")  // written although there are objections
	Planned   = Verdict("PLAN")    // nothing was done
	Nothing   = Verdict("NOTHING") // there is nothing to treat
	Same      = Verdict("SAME")
	Different = Verdict("DIFFERENT")
)

// Judge decides what became of the treatment, once everything else is filled in. It
// reports whether the exit status has to say that there is no treated model; the
// exit code is the caller's to fill.
func (f *Fix) Judge() (fails bool) {
	switch {
	case f.Accepted:
		f.Verdict = Done
	case f.Forced:
		f.Verdict = Forced
	default:
		f.Verdict = Fail
	}
	return f.Verdict == Fail
}

// Judge fills in the verdict, and the differences between every two rows, once these
// are complete. It reports whether no recipe at all could be run; the exit code is
// the caller's to fill.
func (c *Compare) Judge() (fails bool) {
	c.contrast()
	ran := slices.ContainsFunc(c.Rows, func(r CompareRow) bool { return len(r.Runs) > 0 })
	switch {
	case !c.Complete:
		c.Verdict = Incomplete
	case ran:
		c.Verdict = Done
	default:
		c.Verdict = Fail
	}
	return c.Verdict == Fail
}
