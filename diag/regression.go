package diag

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// A Prior is what an earlier diagnosis has found, by the same direction and
// granularity, for a later one to be compared with.
type Prior struct {
	// Calibrated says that its losses were taken at a temperature.
	Calibrated bool
	// SameExamples reports whether it was measured on the same examples, seen in the
	// same way: then figures are paired where they are known of each. It is called
	// once all examples have been read.
	SameExamples func() bool
	Layers       map[string]PriorFigure // ΔL̂ by the layer's name, where there is one
	Temperature  *PriorFigure           // the drop; nil where there is none
	Loss         *PriorFigure           // of the logits as they came; nil where its error is not known
	Error        *PriorFigure           // share of wrong answers; Each is 1 for a wrong one
	Violations   []Violation            // all of them, suppressed ones too
}

// A PriorFigure is one of an earlier diagnosis. The error of a gain is 0
// where nothing was moved.
type PriorFigure struct {
	metric.Estimate
	Each []float32 // of each example, in data order; nil where it is not known
}

// Quantity is what two diagnoses are compared by.
type Quantity string

const (
	LayerGain       Quantity = "layer"       // ΔL̂ of a layer
	TemperatureDrop Quantity = "temperature" // what a temperature takes off
	MeanLoss        Quantity = "loss"        // of the logits as they came
	ErrorRate       Quantity = "error"       // share of wrong answers
)

// A Change is how a figure differs from that of an earlier diagnosis.
type Change struct {
	Quantity      Quantity
	Layer         string // empty but for LayerGain
	Before, After metric.Estimate
	Increase      metric.Estimate // After − Before; zero with a Reason
	Paired        bool            // Increase is of differences example by example
	CorrectedLow  float64         // lower end of the interval of Increase that holds for all layers at once
	Worse         bool            // CorrectedLow is above the threshold of the rule
	Reason        string          // why there is no comparison; else empty
}

// rule is the one that a change for the worse breaches.
func (c *Change) rule() string {
	if c.Quantity == LayerGain || c.Quantity == TemperatureDrop {
		return RuleRegression
	}
	return RuleHigherLoss
}

// Since says whether a violation is one that an earlier diagnosis had.
type Since string

const (
	New      Since = "new"      // the earlier diagnosis had none, and by its interval the gain is larger, where the rule is about one
	Worse    Since = "worse"    // it had it, and by its interval the gain is larger
	Known    Since = "known"    // it had it
	Unproven Since = "unproven" // it had none, but the gain is not larger by its interval: it may be the other examples
)

// changes compares the figures with those of an earlier diagnosis: of the layers,
// of the temperature, loss and error. z is as in [modelVerdict].
func (r *Report) changes(p *Prior, found *Findings, z float64, opt *Options) []Change {
	calibrated := r.Calibration == Fitted || r.Calibration == Given
	same := p.SameExamples()
	pairs := func(before PriorFigure) bool { return same && len(before.Each) == r.N }
	var changes []Change
	for i, l := range r.Layers {
		if l.Transfer == nil && l.Status != StatusFlat {
			continue // a rule of its own says that it was not measured
		}
		c := Change{Quantity: LayerGain, Layer: l.Name}
		if l.Transfer != nil {
			c.After = l.Transfer.Gain
		}
		switch before, ok := p.Layers[l.Name]; {
		case !ok:
			c.Reason = "the baseline has no figure of this layer"
		case p.Calibrated != calibrated:
			c.Reason = "one of the two diagnoses is at a temperature, and the other of the logits as they are"
		default:
			c.Before = before.Estimate
			if now := found.Layers[i].Gains; pairs(before) {
				c.Paired = true
				c.Increase, _, _ = metric.CrossFitted(found.differences(now, before.Each), found.Middle)
			} else {
				c.unpaired()
			}
		}
		changes = append(changes, c)
	}
	if t := r.Metrics.Temperature; t != nil && p.Temperature != nil {
		c := Change{Quantity: TemperatureDrop, Before: p.Temperature.Estimate, After: t.Drop}
		c.unpaired()
		changes = append(changes, c)
	}
	for _, whole := range []struct {
		quantity Quantity
		before   *PriorFigure
		now      []float64 // by position
	}{{MeanLoss, p.Loss, found.Checkpoint.Losses}, {ErrorRate, p.Error, found.wrong()}} {
		if whole.before == nil {
			continue
		}
		c := Change{Quantity: whole.quantity, Before: whole.before.Estimate, After: metric.NewEstimate(whole.now)}
		if pairs(*whole.before) {
			c.Paired = true
			c.Increase = metric.NewEstimate(found.differences(narrow(whole.now), whole.before.Each))
		} else {
			c.unpaired()
		}
		changes = append(changes, c)
	}
	for i := range changes {
		if c := &changes[i]; c.Reason == "" {
			c.CorrectedLow = c.Increase.Mean - z*c.Increase.SE
			c.Worse = c.CorrectedLow > opt.threshold(c.rule())*r.unit(c.Quantity)
		}
	}
	return changes
}

// unit is what a threshold is a share of: the loss or, for the error, all answers.
func (r *Report) unit(q Quantity) float64 {
	if q == ErrorRate {
		return 1
	}
	return *r.Metrics.StartLoss
}

// wrong is 1 for a wrong answer and 0 for a right one, by position.
func (f *Findings) wrong() []float64 {
	out := make([]float64, len(f.Order))
	for position, example := range f.Order {
		if !f.Checkpoint.Correct[example] {
			out[position] = 1
		}
	}
	return out
}

// unpaired estimates the increase from the two figures alone, with the sum of
// their standard errors. That is never too little for the same examples, whatever the
// correlation of what is measured on them.
//
// For other examples it leaves room for what a gain's interval does not hold: that is
// about the four moves that were found, and other examples find other moves. Over
// redrawn examples the variance of a gain is between a half of the square of its
// standard error, where the gradient is clear, and twice that, where it is noise
// (docs/gate.md). So that of the difference of two is up to 2·SE₁² + 2·SE₂², which is
// (SE₁ + SE₂)² where the errors are alike. A figure of which nothing was moved has no
// error, and the other's takes its place.
func (c *Change) unpaired() {
	before, after := cmp.Or(c.Before.SE, c.After.SE), cmp.Or(c.After.SE, c.Before.SE)
	c.Increase = metric.NormalEstimate(c.After.Mean-c.Before.Mean, before+after)
}

// differences are figures by position less earlier ones in data order, by position. A
// layer that was not moved has none, and gains nothing.
func (f *Findings) differences(now, before []float32) []float64 {
	out := make([]float64, len(f.Order))
	for position, example := range f.Order {
		if out[position] = -float64(before[example]); now != nil {
			out[position] += float64(now[position])
		}
	}
	return out
}

// regressions reports what is worse than an earlier diagnosis has found it, unless it
// is a gain under the threshold all the same: the largest increase first, because
// what one layer has lost others can often give back in part.
func (v *violations) regressions(r *Report) {
	largest := slices.SortedStableFunc(slices.Values(r.Changes), func(a, b Change) int { return -cmp.Compare(a.Increase.Mean, b.Increase.Mean) })
	for _, c := range largest {
		if !c.Worse || r.decisionOf(&c).Verdict == Under {
			continue
		}
		level, how := LevelError, "two figures, whose errors are added"
		if r.allRight() {
			level = LevelWarning // only confidence is at stake
		}
		if c.Paired {
			how = "paired, image by image"
		}
		more := fmt.Sprintf("%.3g ± %.2g more, at least %.3g (97.5 %% one-sided, all layers at once; %s)", c.Increase.Mean, c.Increase.HalfWidth(), c.CorrectedLow, how)
		what := map[Quantity]string{LayerGain: "moving this layer takes", TemperatureDrop: "a temperature takes"}[c.Quantity]
		switch c.Quantity {
		case MeanLoss:
			v.add(c.rule(), level, "", "the loss is %.4g nats, and in the baseline %.4g: %s", c.After.Mean, c.Before.Mean, more)
		case ErrorRate:
			v.add(c.rule(), level, "", "the share of wrong answers is %.4g, and in the baseline %.4g: %s", c.After.Mean, c.Before.Mean, more)
		default:
			v.add(c.rule(), level, c.Layer, "%s %.3g nats off the loss of unseen examples, and in the baseline %.3g: %s", what, c.After.Mean, c.Before.Mean, more)
		}
	}
}

// decisionOf is the decision on a gain that is compared; loss and error have none.
func (r *Report) decisionOf(c *Change) Decision {
	switch c.Quantity {
	case TemperatureDrop:
		return r.Metrics.Temperature.Decision
	case LayerGain:
		return r.Layers[slices.IndexFunc(r.Layers, func(l LayerResult) bool { return l.Name == c.Layer })].Decision
	}
	return Decision{}
}

// since tells of each violation whether the earlier diagnosis had it.
func (v violations) since(p *Prior, changes []Change) {
	quantity := map[string]Quantity{RuleRecoverableLoss: LayerGain, RuleTemperature: TemperatureDrop} // that a rule is about
	for i := range v {
		now := &v[i]
		had := slices.ContainsFunc(p.Violations, func(b Violation) bool {
			return b.Rule == now.Rule && b.Layer == now.Layer && (quantity[now.Rule] != "" || atLeast(b.Level, now.Level))
		})
		change := slices.IndexFunc(changes, func(c Change) bool {
			return c.Quantity == quantity[now.Rule] && c.Layer == now.Layer && c.Reason == ""
		})
		switch {
		case now.Rule == RuleRegression, now.Rule == RuleHigherLoss:
			now.Since = Worse
		case change >= 0:
			now.Since = sinceByInterval(had, changes[change].Worse)
		case had && quantity[now.Rule] == "":
			now.Since = Known
		default:
			now.Since = New
		}
	}
}

// sinceByInterval is about a violation whose gain could be compared.
func sinceByInterval(had, worse bool) Since {
	switch {
	case had && worse:
		return Worse
	case had:
		return Known
	case worse:
		return New
	}
	return Unproven
}

// atLeast reports whether level a is at least as severe as b.
func atLeast(a, b Level) bool {
	order := []Level{LevelError, LevelWarning, LevelInfo}
	return slices.Index(order, a) <= slices.Index(order, b)
}
