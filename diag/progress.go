package diag

// The cost of a layer is planned with these numbers of evaluations of all
// examples, as measured on the reference model.
const (
	plannedSearch   = 5 // to find the step
	plannedTransfer = 4 // four searches and four gains, a quarter of the examples each
	gradientCost    = 3 // of a forward and backward pass, in forward passes
)

// progress turns work into calls of Options.Progress. Its unit is one example
// through one stage. Each phase has a planned amount: work beyond it is not
// counted, and what is missing at its end is made up for, so that the total
// stays what it was.
type progress struct {
	call  func(phase string, done, total int)
	phase string
	total int
	done  int // before the phase
	plan  int // of the phase
	work  int // in the phase
}

// begin ends the phase before and starts another.
func (p *progress) begin(phase string, plan int) {
	p.done += p.plan
	p.phase, p.plan, p.work = phase, plan, 0
	p.report()
}

// end ends the last phase.
func (p *progress) end() { p.begin(p.phase, 0) }

// add counts work.
func (p *progress) add(work int) {
	p.work = min(p.work+work, p.plan)
	p.report()
}

func (p *progress) report() {
	if p.call != nil {
		p.call(p.phase, p.done+p.work, p.total)
	}
}
