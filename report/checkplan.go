package report

import (
	"fmt"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
)

// Plan is how much of a diagnosis was done where that is not all of it, or a budget of
// time has decided. The same flags, with Flags and without a budget, give the same
// figures on a machine of any speed, unless the budget was spent before the plan was
// carried out.
type Plan struct {
	Images    int      `json:"images"`
	Available int      `json:"images_available"`
	Searched  int      `json:"layers"` // that were chosen to be searched
	Layers    int      `json:"layers_available"`
	Budget    *float64 `json:"budget_seconds"` // nil without one
	ByDefault bool     `json:"budget_by_default"`
	Spent     bool     `json:"spent"` // the budget was, before everything was measured
	Flags     string   `json:"flags"` // that say the same without a budget; empty where none are needed
}

// fields say what was planned, and how to repeat it.
func (p *Plan) fields() []string {
	fields := []string{fmt.Sprintf("%s of %s images", thousands(p.Images), thousands(p.Available))}
	if p.Searched < p.Layers {
		fields = append(fields, fmt.Sprintf("%d of %s searched, the most promising; verdicts hold for all layers at once", p.Searched, plural(p.Layers, "layer")))
	} else {
		fields = append(fields, fmt.Sprintf("all of %s", plural(p.Layers, "layer")))
	}
	if p.Budget == nil {
		return fields
	}
	budget := fmt.Sprintf("budget %v", time.Duration(*p.Budget*float64(time.Second)))
	if p.ByDefault {
		budget += " by default"
	}
	switch {
	case p.Spent:
		budget += ", which was spent before that was done"
	case p.Flags == "":
		budget += ", which was enough for all"
	default:
		budget += ", without it: " + p.Flags
	}
	return append(fields, budget)
}

// spent reports whether a budget was, before everything was measured.
func spent(c *Check) bool { return c.Plan != nil && c.Plan.Spent }

// skippedFor is the number of layers that were skipped, for a reason.
func skippedFor(c *Check, reason string) int {
	n := 0
	for _, l := range c.Layers {
		if l.Status == diag.StatusSkipped && l.Reason == reason {
			n++
		}
	}
	return n
}

// notSearched says how many layers were not.
func notSearched(c *Check) []string {
	var fields []string
	if n := skippedFor(c, diag.ReasonNotSearched); n > 0 {
		fields = append(fields, fmt.Sprintf("%d of %s not searched, and may be over", n, plural(len(c.Layers), "layer")))
	}
	if n := skippedFor(c, diag.ReasonTimeLimit); n > 0 && spent(c) {
		fields = append(fields, fmt.Sprintf("the budget was spent before %s could be measured", plural(n, "layer")))
	}
	return fields
}

// undecidedLayers is the number of layers that were searched, and are undecided.
func undecidedLayers(c *Check) int {
	n := 0
	for _, l := range c.Layers {
		reached := l.Status != diag.StatusSkipped || l.Reason != diag.ReasonNotSearched && l.Reason != diag.ReasonTimeLimit
		if l.Verdict == diag.Undecided && reached {
			n++
		}
	}
	return n
}
