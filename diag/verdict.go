package diag

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// familyConfidence is the probability with which all corrected intervals hold at
// once.
const familyConfidence = 0.95

// Outcome is the verdict about a model.
type Outcome string

const (
	Pass    Outcome = "PASS"      // every measured layer is under the threshold, and so is the temperature's share
	Fail    Outcome = "FAIL"      // a rule is breached at the level error
	Unclear Outcome = "UNDECIDED" // neither can be said
)

// A ModelVerdict is the verdict about a model.
type ModelVerdict struct {
	Outcome Outcome
	// Reason is why the examples support no verdict whatever the figures are, or
	// why gains over the threshold are no failure; else empty.
	Reason string
	// ImagesNeeded is about how many examples would decide it if the figures are
	// what they seem to be; nil unless undecided, and where that cannot be said.
	ImagesNeeded *int
}

// conclude fills what follows from the measured layers: corrected intervals,
// verdicts, the worst layers and the violations.
func conclude(r *Report, found *Findings, opt Options) {
	z := bonferroni(r.Tests)
	for _, l := range r.Layers {
		if t := l.Transfer; t != nil {
			t.CorrectedLow = t.Gain.Mean - z*t.Gain.SE
		}
	}
	if start := r.Metrics.StartLoss; start != nil {
		r.Limit = metric.Finite(r.Threshold * *start)
		r.TemperatureLimit = metric.Finite(opt.threshold(RuleTemperature) * *start)
	}
	r.Worst = findWorst(r.Layers, found.Layers, found.Middle)
	reason := unsupported(r, found.Checkpoint)
	var tests []test
	if r.Limit != nil {
		tests = r.decide(found.Layers, reason == "")
	}
	var v violations
	if found.Checkpoint != nil {
		v.checkpoint(r, found.Checkpoint, z, opt)
	}
	if b := found.Checkpoint; b == nil || b.NotFinite == 0 {
		v.layers(r)
	}
	v.circumstances(r, opt)
	if opt.Prior != nil && r.Limit != nil {
		r.Changes = r.changes(opt.Prior, found, z, &opt)
		v.regressions(r)
	}
	v.setLevels(opt.Rules)
	slices.SortStableFunc(v, func(a, b Violation) int { return cmp.Compare(a.Rule, b.Rule) })
	r.Suppressions = slices.Clone(opt.Suppressions)
	tests = v.suppress(r.Suppressions, tests)
	if opt.Prior != nil {
		v.since(opt.Prior, r.Changes)
	}
	r.Violations = v
	r.Verdict = modelVerdict(r, tests, z, reason)
}

// open reports whether a layer was skipped that could have been searched.
func (l *LayerResult) open() bool {
	return l.Status == StatusSkipped && (l.Reason == ReasonTimeLimit || l.Reason == ReasonNotSearched)
}

// A test is a gain that is compared with the threshold.
type test struct {
	rule     string           // that is breached where the gain is over
	layer    string           // empty: the temperature
	gain     *metric.Estimate // nil where it could not be measured
	limit    float64          // nats
	decision Decision
}

// seemsOver reports whether the gain, as it was estimated, is over the limit.
func (t *test) seemsOver() bool { return t.gain != nil && t.gain.Mean > t.limit }

// decide compares each layer's gain and the temperature's with the threshold, and
// returns all that a model has to pass. Where the examples support no verdict
// whatever the figures are, all are undecided: of a model that guesses, almost any
// layer gains by bringing the logits closer to 0.
func (r *Report) decide(measured []LayerFindings, supported bool) []test {
	var tests []test
	for i := range r.Layers {
		l := &r.Layers[i]
		if l.Status == StatusSkipped && !l.open() && l.Reason != reasonAllZero || l.Status == StatusDiverged {
			continue // rules of their own
		}
		var gain *metric.Estimate
		if l.Transfer != nil {
			gain = &l.Transfer.Gain
		}
		switch {
		case !supported:
			l.Decision = Decision{Verdict: Undecided}
		case l.Status == StatusFlat:
			// Even on the examples that chose it no move gains anything.
			l.Decision = Decision{Verdict: Under}
		case gain == nil:
			l.Decision = Decision{Verdict: Undecided}
		default:
			l.Decision = decide(*gain, r.layerZ(), *r.Limit, r.N)
		}
		if l.Verdict == Under && l.Status != StatusFlat {
			// Gradients that are noise ask for no moves, or tiny ones, of which it is
			// certain that they gain little: that is no sign of health.
			l.Decision = decide(metric.NormalEstimate(0, measured[i].Noise), r.layerZ(), *r.Limit, r.N)
		}
		tests = append(tests, test{RuleRecoverableLoss, l.Name, gain, *r.Limit, l.Decision})
	}
	last := test{rule: RuleTemperature, limit: *r.TemperatureLimit, decision: Decision{Verdict: Undecided}}
	if t := r.Metrics.Temperature; t != nil {
		if supported {
			last.decision = decide(t.Drop, metric.Z95, last.limit, r.N)
		}
		t.Decision, last.gain = last.decision, &t.Drop
	}
	return append(tests, last)
}

// modelVerdict is the verdict about a model that has to pass some tests, where z
// standard errors either side hold for all of them at once. A reason says why the
// examples support none.
func modelVerdict(r *Report, tests []test, z float64, reason string) ModelVerdict {
	failed := slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Level == LevelError && v.Suppressed == "" })
	passed := r.Limit != nil && !slices.ContainsFunc(tests, func(t test) bool { return t.decision.Verdict != Under })
	switch {
	case failed:
		return ModelVerdict{Outcome: Fail, Reason: reason}
	case reason != "":
		return ModelVerdict{Outcome: Unclear, Reason: reason}
	case passed:
		return ModelVerdict{Outcome: Pass}
	case r.Limit == nil:
		return ModelVerdict{Outcome: Unclear}
	case r.allRight() && slices.ContainsFunc(tests, func(t test) bool { return t.seemsOver() }):
		return ModelVerdict{Outcome: Unclear, Reason: "every answer is right: what could be recovered is confidence alone"}
	}
	return ModelVerdict{Outcome: Unclear, ImagesNeeded: imagesForModel(tests, z, r.N)}
}

// imagesForModel is the number of examples with which the model would fail, if a
// gain seems to be above the limit, or else pass; nil where that cannot be said.
func imagesForModel(tests []test, z float64, n int) *int {
	var fail, pass *int
	known := true
	for _, t := range tests {
		switch {
		case t.seemsOver():
			// A gain that fewer images would show to be over breaches a rule that fails nothing.
			if images := imagesNeeded(*t.gain, z, t.limit, n); images != nil && *images > n && (fail == nil || *images < *fail) {
				fail = images
			}
			known = false // the model would not pass
		case t.decision.Verdict == Under:
		case t.decision.ImagesNeeded == nil:
			known = false
		case pass == nil || *t.decision.ImagesNeeded > *pass:
			pass = t.decision.ImagesNeeded
		}
	}
	switch {
	case fail != nil:
		return fail
	case known:
		return pass
	}
	return nil
}

// unsupported says why the examples support no verdict, and is empty where they
// do. b is nil if not even the checkpoint was evaluated.
func unsupported(r *Report, b *Checkpoint) string {
	switch {
	case b == nil:
		return "nothing was measured"
	case r.N < MinTransferExamples:
		return fewExamples(r.N)
	case b.NotFinite > 0:
		return b.notFiniteReason()
	case b.Present == 1 && r.Classes > 1:
		return "all examples are of one class"
	case !beatsChance(b.Hits, r.N, b.Chance):
		return "the model does no better than guessing on these examples"
	}
	return ""
}

// fewExamples says why there is no transfer figure.
func fewExamples(n int) string {
	are := "examples are"
	if n == 1 {
		are = "example is"
	}
	return fmt.Sprintf("%d %s too few for a transfer figure, which needs %d", n, are, MinTransferExamples)
}
