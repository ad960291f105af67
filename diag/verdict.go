package diag

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Limits of the rules, besides Options.Threshold.
const (
	minCoverage      = 0.9 // share of parameters below which MD004 is reported
	minClassesShown  = 0.5 // share of the classes that could have examples below which MD008 is
	familyConfidence = 0.95
)

// conclude fills what follows from the measured layers: corrected intervals,
// the worst layers and the violations. b is nil if nothing was found of the
// checkpoint.
func conclude(r *Report, b *baseline, opt Options) {
	correct(r.Layers)
	r.Worst = Worst{
		ByDeltaLoss: largest(r.Layers, func(l LayerResult) float64 { return l.DeltaLoss }),
		ByTransfer:  largest(r.Layers, transferOf),
		ByKappa: largest(r.Layers, func(l LayerResult) float64 {
			if l.Kappa == nil {
				return 0
			}
			return *l.Kappa
		}),
	}
	var v verdict
	if b != nil {
		v.checkpoint(r, b)
	}
	if b == nil || b.notFinite == 0 {
		v.layers(r)
	}
	v.circumstances(r, opt)
	slices.SortStableFunc(v, func(a, b Violation) int { return cmp.Compare(a.Rule, b.Rule) })
	r.Violations = v
}

// correct widens the intervals of all transfer figures so that, with the
// probability familyConfidence, all of them hold at once (Bonferroni).
func correct(layers []LayerResult) {
	m := 0
	for _, l := range layers {
		if l.Transfer != nil {
			m++
		}
	}
	if m == 0 {
		return
	}
	// The quantile of the normal distribution at 1 − (1 − confidence)/2m.
	z := math.Sqrt2 * math.Erfinv(1-(1-familyConfidence)/float64(m))
	for _, l := range layers {
		if t := l.Transfer; t != nil {
			t.CorrectedLow = t.Gain.Mean - z*t.Gain.SE
		}
	}
}

// largest is the name of the layer with the largest figure, the first among
// equals, and empty if none is positive.
func largest(layers []LayerResult, figure func(LayerResult) float64) string {
	name, top := "", 0.0
	for _, l := range layers {
		if x := figure(l); x > top {
			name, top = l.Name, x
		}
	}
	return name
}

// transferOf is ΔL̂ of a layer, 0 where there is none.
func transferOf(l LayerResult) float64 {
	if l.Transfer == nil {
		return 0
	}
	return l.Transfer.Gain.Mean
}

// verdict collects violations.
type verdict []Violation

func (v *verdict) add(rule string, level Level, layer, format string, args ...any) {
	*v = append(*v, Violation{Rule: rule, Level: level, Layer: layer, Message: fmt.Sprintf(format, args...)})
}

// checkpoint applies the rules about the model as a whole.
func (v *verdict) checkpoint(r *Report, b *baseline) {
	if t := r.Metrics.Temperature; t != nil && r.N >= MinTransferExamples && t.Drop.CI95[0] > r.Threshold**r.Metrics.Loss {
		v.add(RuleTemperature, LevelWarning, "",
			"dividing the logits by %.3g takes %.3g ± %.2g of %.4g nats off the loss: that part is mis-calibration, not a layer's fault",
			t.Value, t.Drop.Mean, t.Drop.HalfWidth(), *r.Metrics.Loss)
		if worst := worstTransfer(r.Layers); !r.Calibrated && worst != nil && t.Drop.Mean > worst.Transfer.Gain.Mean {
			v.add(RuleCalibrateFirst, LevelInfo, "",
				"a temperature takes off more (%.3g nats) than moving any layer (%s: %.3g): read the calibrated diagnosis",
				t.Drop.Mean, worst.Name, worst.Transfer.Gain.Mean)
		}
	}
	if b.notFinite > 0 {
		v.add(RuleNotMeasured, LevelError, "", "no layer can be measured: %s", b.notFiniteReason())
	} else if !beatsChance(b.hits, r.N, b.chance) {
		v.add(RuleChance, LevelWarning, "",
			"%d of %d answers are right, no more than guessing would get (%.1f expected)", b.hits, r.N, b.chance*float64(r.N))
	}
	if possible := min(r.N, r.Classes); b.present == 1 && possible > 1 || float64(b.present) < minClassesShown*float64(possible) {
		v.add(RuleClasses, LevelWarning, "", "only %d of the model's %d classes have examples among the %d", b.present, r.Classes, r.N)
	}
}

// worstTransfer is the layer with the largest ΔL̂, nil if none has one.
func worstTransfer(layers []LayerResult) *LayerResult {
	var worst *LayerResult
	for i := range layers {
		if l := &layers[i]; l.Transfer != nil && (worst == nil || l.Transfer.Gain.Mean > worst.Transfer.Gain.Mean) {
			worst = l
		}
	}
	return worst
}

// limitOf is the transfer figure, in nats, above which a layer breaches MD001.
func limitOf(r *Report) float64 {
	if r.Metrics.StartLoss == nil {
		return math.Inf(1)
	}
	return r.Threshold * *r.Metrics.StartLoss
}

// layers applies the rules about single layers.
func (v *verdict) layers(r *Report) {
	limit := limitOf(r)
	for _, l := range r.Layers {
		switch {
		case l.Status == StatusDiverged:
			v.add(RuleNotMeasured, LevelError, l.Name, "not measured: %s", l.Reason)
		case l.Status == StatusSkipped && (r.Complete || l.Reason != reasonTimeLimit):
			v.add(RuleNotMeasured, LevelWarning, l.Name, "not measured: %s", l.Reason)
		case l.Transfer == nil && r.N >= MinTransferExamples && l.Status != StatusSkipped:
			v.add(RuleNotMeasured, LevelWarning, l.Name, "no transfer figure: %s", l.TransferReason)
		case l.Transfer == nil || l.Transfer.Gain.CI95[0] <= limit:
		case l.Transfer.CorrectedLow > limit:
			v.add(RuleRecoverableLoss, LevelError, l.Name,
				"moving this layer takes %.3g ± %.2g nats off the loss of unseen examples, at least %.3g (97.5 %% one-sided, all layers at once): over %.3g (%.3g %% of the loss)",
				l.Transfer.Gain.Mean, l.Transfer.Gain.HalfWidth(), l.Transfer.CorrectedLow, limit, 100*r.Threshold)
		default:
			v.add(RuleRecoverableLoss, LevelWarning, l.Name,
				"moving this layer takes %.3g ± %.2g nats off the loss of unseen examples, at least %.3g (97.5 %% one-sided, this layer alone; %.3g all layers at once): over %.3g (%.3g %% of the loss)",
				l.Transfer.Gain.Mean, l.Transfer.Gain.HalfWidth(), l.Transfer.Gain.CI95[0], l.Transfer.CorrectedLow, limit, 100*r.Threshold)
		}
	}
}

// circumstances applies the rules about how the diagnosis was made.
func (v *verdict) circumstances(r *Report, opt Options) {
	if opt.Coverage > 0 && opt.Coverage < minCoverage {
		v.add(RuleCoverage, LevelWarning, "", "only %.1f %% of the model's parameters lie in layers that can be measured", 100*opt.Coverage)
	}
	if r.N < MinTransferExamples {
		v.add(RuleFewExamples, LevelWarning, "", "%s", fewExamples(r.N))
	}
	if opt.PreprocessDetected {
		v.add(RuleGuessedPreprocess, LevelInfo, "", "the preprocessing was guessed from the images: every figure depends on it")
	}
}

// fewExamples says why there is no transfer figure.
func fewExamples(n int) string {
	return fmt.Sprintf("%d examples are too few for a transfer figure, which needs %d", n, MinTransferExamples)
}
