package report

import (
	"math"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// The values of Check.FailOn and Check.OnUndecided that are no level.
const (
	FailNever     = "never"
	UndecidedPass = "pass"
	UndecidedWarn = "warn"
	UndecidedFail = "fail"
)

// Violation is a rule that the model, or the diagnosis, breaches.
type Violation struct {
	Rule    string     `json:"rule"`
	Level   diag.Level `json:"level"`
	Layer   Optional   `json:"layer"` // empty if it is about the whole model
	Message string     `json:"message"`
	// Suppressed is why it counts for no verdict; empty where it does.
	Suppressed string     `json:"suppressed,omitempty"`
	Since      diag.Since `json:"since,omitempty"` // whether the baseline has it; empty without one
}

// RuleSetting is how a rule is reported where that is another than usual.
type RuleSetting struct {
	Rule      string     `json:"rule"`
	Level     diag.Level `json:"level,omitempty"`     // empty: as the rule says
	Threshold *float64   `json:"threshold,omitempty"` // a share; nil: as the rule says
}

// Suppression is a breach that is accepted for now; see [diag.Suppression].
type Suppression struct {
	Rule    string   `json:"rule"`
	Layer   Optional `json:"layer"` // a pattern; empty for any layer and the model as a whole
	Reason  string   `json:"reason"`
	Until   Optional `json:"until"`   // the last day, as 2027-01-31; empty: for ever
	Matches int      `json:"matches"` // how many breaches and open questions it waives
}

func newSuppression(s diag.Suppression) Suppression {
	view := Suppression{Rule: s.Rule, Layer: Optional(s.Layer), Reason: s.Reason, Matches: s.Matches}
	if !s.Until.IsZero() {
		view.Until = Optional(s.Until.Format(time.DateOnly))
	}
	return view
}

// Baseline is what a check was compared with.
type Baseline struct {
	Path       string   `json:"path"` // of the report
	Model      string   `json:"model"`
	SHA256     string   `json:"model_sha256"`
	SameImages bool     `json:"same_images"` // as the models see them
	Verdict    Verdict  `json:"verdict"`
	Changes    []Change `json:"changes"`
	// Gone are the errors and warnings that the report had and that are found no longer,
	// where what they are about was looked at again.
	Gone []Violation `json:"gone"`
}

// Change is how a figure differs from the baseline's; see [diag.Change].
type Change struct {
	Quantity     diag.Quantity `json:"quantity"` // layer, temperature, loss or error
	Layer        Optional      `json:"layer"`
	Before       *float64      `json:"before"` // nats, or a share of the images; nil with a reason
	After        float64       `json:"after"`
	Increase     *float64      `json:"increase"`
	SE           *float64      `json:"se"`
	CI95         *[2]float64   `json:"ci95"`
	CorrectedLow *float64      `json:"corrected_low"`
	Paired       bool          `json:"paired"` // image by image
	Worse        bool          `json:"worse"`
	Reason       string        `json:"reason,omitempty"` // why there is no comparison
}

// NewBaseline is what a check was compared with: a report that lies at a path.
func NewBaseline(c *Check, path string, with *Check, changes []diag.Change) *Baseline {
	b := &Baseline{
		Path: path, Model: with.Model.Path, SHA256: with.Model.SHA256,
		SameImages: c.Data.SHA256 != "" && c.Data.SHA256 == with.Data.SHA256, Verdict: with.Verdict,
		Changes: make([]Change, len(changes)), Gone: gone(c, with),
	}
	for i, d := range changes {
		view := Change{Quantity: d.Quantity, Layer: Optional(d.Layer), After: d.After.Mean, Paired: d.Paired, Worse: d.Worse, Reason: d.Reason}
		if d.Reason == "" {
			view.Before, view.Increase, view.SE, view.CI95, view.CorrectedLow = &d.Before.Mean, &d.Increase.Mean, &d.Increase.SE, &d.Increase.CI95, &d.CorrectedLow
		}
		b.Changes[i] = view
	}
	return b
}

// gone are the violations of an earlier check that a later one would have found, and has
// not.
func gone(c, before *Check) []Violation {
	gone := []Violation{}
	for _, v := range before.Violations {
		looked := c.Complete
		if v.Layer != "" {
			looked = slices.ContainsFunc(c.Layers, func(l Layer) bool { return l.Name == string(v.Layer) && l.measured() })
		}
		found := slices.ContainsFunc(c.Violations, func(now Violation) bool { return now.Rule == v.Rule && now.Layer == v.Layer })
		compares := v.Rule == diag.RuleRegression || v.Rule == diag.RuleHigherLoss // with another baseline
		if looked && !found && !compares && v.Level != diag.LevelInfo {
			v.Since = "" // that report's own baseline
			gone = append(gone, v)
		}
	}
	return gone
}

// NewPrior is a check as a later diagnosis compares itself with it; digest is that of
// the images then, as in [Data].
func NewPrior(c *Check, digest func() string) *diag.Prior {
	p := &diag.Prior{
		Calibrated:   c.Calibrated != nil,
		SameExamples: func() bool { return c.Data.SHA256 != "" && c.Data.SHA256 == digest() },
		Layers:       map[string]diag.PriorFigure{},
	}
	var nothing []float32 // that all flat layers gain
	for _, l := range c.Layers {
		switch t := l.Transfer; {
		case t == nil && l.Status == diag.StatusFlat:
			if nothing == nil {
				nothing = make([]float32, c.Data.ValN)
			}
			p.Layers[l.Name] = diag.PriorFigure{Each: nothing}
		case t == nil:
		case t.SE == nil:
			p.Layers[l.Name] = diag.PriorFigure{Estimate: metric.NormalEstimate(t.Mean, 0), Each: t.Gains}
		default:
			p.Layers[l.Name] = diag.PriorFigure{Estimate: metric.NormalEstimate(t.Mean, *t.SE), Each: t.Gains}
		}
	}
	if t := c.Metrics.Temperature; t != nil {
		p.Temperature = &diag.PriorFigure{Estimate: metric.NormalEstimate(t.Mean, t.SE)}
	}
	if m := c.Metrics; m.Loss != nil && m.LossSE != nil {
		p.Loss = &diag.PriorFigure{Estimate: metric.NormalEstimate(*m.Loss, *m.LossSE), Each: m.Losses}
	}
	if e, n := c.Metrics.Error, c.Data.ValN; e != nil && n > 1 {
		figure := diag.PriorFigure{Estimate: metric.NormalEstimate(*e, math.Sqrt(*e*(1-*e)/float64(n-1)))}
		for _, right := range c.Metrics.Right {
			wrong := float32(1)
			if right {
				wrong = 0
			}
			figure.Each = append(figure.Each, wrong)
		}
		p.Error = &figure
	}
	for _, v := range c.Violations {
		p.Violations = append(p.Violations, diag.Violation{Rule: v.Rule, Level: v.Level, Layer: string(v.Layer)})
	}
	return p
}

// Gate is what the verdict means for whoever called.
type Gate struct {
	FailOn      string // what [Check.FailOn] may be
	FailOnNew   bool
	OnUndecided string // what [Check.OnUndecided] may be
}

// Judge decides what the diagnosis means for whoever called. It reports
// whether the exit status has to say that the model is not in order; the exit code
// is the caller's to fill.
func (c *Check) Judge(g Gate) (fails bool) {
	c.FailOn, c.FailOnNew, c.OnUndecided = g.FailOn, g.FailOnNew, g.OnUndecided
	failed := len(c.Failed()) > 0
	switch {
	case !c.Complete && !spent(c):
		c.Verdict = Incomplete
	case failed:
		c.Verdict, c.Images = Fail, nil
	}
	return failed || asksForMore(c)
}

// asksForMore reports whether --on-undecided makes the exit status 1.
func asksForMore(c *Check) bool {
	return c.OnUndecided == UndecidedFail && c.FailOn != FailNever && (c.Verdict == Unclear || c.Verdict == Fail && openBesideKnown(c))
}

// openBesideKnown reports whether all that makes the verdict FAIL is known, so that it
// does not fail, and the images do not decide something else.
func openBesideKnown(c *Check) bool {
	if !c.FailOnNew || len(c.Failed()) > 0 {
		return false
	}
	waived := func(rule, layer string) bool {
		return slices.ContainsFunc(c.Suppressions, func(s Suppression) bool {
			return (&diag.Suppression{Rule: s.Rule, Layer: string(s.Layer)}).Covers(rule, layer)
		})
	}
	temperature := c.Metrics.Temperature
	return slices.ContainsFunc(c.Undecided, func(u Undecided) bool { return !waived(diag.RuleRecoverableLoss, u.Layer) }) ||
		(temperature == nil || temperature.Verdict == diag.Undecided) && !waived(diag.RuleTemperature, "")
}

// Failed returns the violations that reach FailOn and count.
func (c *Check) Failed() []Violation {
	var failed []Violation
	for _, v := range c.Violations {
		if fails(c, v) {
			failed = append(failed, v)
		}
	}
	return failed
}

// settled reports whether a violation counts for nothing, whatever its level.
func settled(c *Check, v Violation) bool {
	return v.Suppressed != "" || c.FailOnNew && v.Since != diag.New && v.Since != diag.Worse
}

// fails reports whether a violation makes the exit status 1.
func fails(c *Check, v Violation) bool {
	if settled(c, v) {
		return false
	}
	switch diag.Level(c.FailOn) {
	case diag.LevelError:
		return v.Level == diag.LevelError
	case diag.LevelWarning:
		return v.Level == diag.LevelError || v.Level == diag.LevelWarning
	}
	return false
}
