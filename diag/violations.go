package diag

import "fmt"

// Limits of the rule about class shares.
const (
	minPriorGain  = 0.1 // share of the threshold that class counts have to be worth for MD012
	warnPriorGain = 0.5 // share of the threshold from which it is a warning
)

// violations collects what breaches a rule.
type violations []Violation

func (v *violations) add(rule string, level Level, layer, format string, args ...any) {
	*v = append(*v, Violation{Rule: rule, Level: level, Layer: layer, Message: fmt.Sprintf(format, args...)})
}

// checkpoint applies the rules about the model as a whole; z is as in
// [modelVerdict].
func (v *violations) checkpoint(r *Report, b *Checkpoint, z float64, opt Options) {
	if t := r.Metrics.Temperature; t != nil && t.Verdict == Over {
		v.temperature(r, t, z)
	}
	if b.NotFinite > 0 {
		v.add(RuleNotMeasured, LevelError, "", "no layer can be measured: %s", b.notFiniteReason())
	} else if !beatsChance(b.Hits, r.N, b.Chance) {
		v.add(RuleChance, LevelWarning, "",
			"%d of %d answers are right, no more than guessing would get (%.1f expected)", b.Hits, r.N, b.Chance*float64(r.N))
	}
	if possible := min(r.N, r.Classes); b.Present == 1 && possible > 1 || float64(b.Present) < opt.threshold(RuleClasses)*float64(possible) {
		v.add(RuleClasses, LevelWarning, "", "only %d of the model's %d classes have examples among the %d", b.Present, r.Classes, r.N)
	}
	v.classShares(r, b, opt)
}

// temperature applies the rules about a temperature's share that is over the
// threshold.
func (v *violations) temperature(r *Report, t *Temperature, z float64) {
	level, low, what, family, note := LevelWarning, t.Drop.CI95[0], "", "", ""
	if r.allRight() {
		note = onlyConfidence
	}
	if r.Calibration == Unfitted {
		note += "; layers are measured with the logits as they are, so their figures hold it, too"
	}
	switch corrected := t.Drop.Mean - z*t.Drop.SE; {
	case t.Value == nil: // and so nothing to mend it by: logits that are right about all examples, or about none
		what = fmt.Sprintf("a temperature beyond %g, the end of the range searched,", t.Beyond)
	case corrected > *r.TemperatureLimit && !r.allRight():
		level, low, family = LevelError, corrected, ", all layers at once"
		fallthrough
	default:
		what = fmt.Sprintf("dividing the logits by %.3g", *t.Value)
	}
	v.add(RuleTemperature, level, "",
		"%s takes %.3g ± %.2g of %.4g nats off the loss, at least %.3g (97.5 %% one-sided%s): that part is mis-calibration, not a layer's fault%s",
		what, t.Drop.Mean, t.Drop.HalfWidth(), *r.Metrics.Loss, low, family, note)
	if worst := worstTransfer(r.Layers); r.Calibration == Raw && worst != nil && t.Drop.Mean > worst.Transfer.Gain.Mean {
		v.add(RuleCalibrateFirst, LevelInfo, "",
			"a temperature takes off more (%.3g nats) than moving any layer (%s: %.3g): read the calibrated diagnosis",
			t.Drop.Mean, worst.Name, worst.Transfer.Gain.Mean)
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

// layers applies the rules about single layers.
func (v *violations) layers(r *Report) {
	for _, l := range r.Layers {
		switch {
		case l.Status == StatusDiverged:
			v.add(RuleNotMeasured, LevelError, l.Name, "not measured: %s", l.Reason)
		case l.Status == StatusSkipped && !l.open():
			v.add(RuleNotMeasured, LevelWarning, l.Name, "not measured: %s", l.Reason)
		case l.Transfer == nil && r.N >= MinTransferExamples && l.Status == StatusOK:
			v.add(RuleNotMeasured, LevelWarning, l.Name, "no transfer figure: %s", l.TransferReason)
		case l.Verdict == Over:
			v.over(r, l)
		}
		if t := l.Training; t != nil {
			v.training(l, t)
		}
	}
}

// onlyConfidence is added to what is said of a gain where every answer is right.
const onlyConfidence = "; every answer is right, so only confidence is at stake"

// over reports a layer whose gain is over the threshold.
func (v *violations) over(r *Report, l LayerResult) {
	gain, low := l.Transfer.Gain, l.Transfer.CorrectedLow
	level, least, note := LevelError, fmt.Sprintf("%.3g (97.5 %% one-sided, all layers at once)", low), ""
	if low <= *r.Limit {
		level, least = LevelWarning, fmt.Sprintf("%.3g (97.5 %% one-sided, this layer alone; %.3g all layers at once)", gain.CI95[0], low)
	}
	if r.allRight() {
		level, note = LevelWarning, onlyConfidence
	}
	v.add(RuleRecoverableLoss, level, l.Name,
		"moving this layer takes %.3g ± %.2g nats off the loss of unseen examples, at least %s: over %.3g (%.3g %% of the loss)%s",
		gain.Mean, gain.HalfWidth(), least, *r.Limit, 100*r.Threshold, note)
}

// training reports why a layer's loss can be recovered.
func (v *violations) training(l LayerResult, t *Training) {
	switch gain := l.Transfer; t.Finding {
	case OverFitted:
		v.add(RuleOverFitted, LevelInfo, l.Name,
			"over-fitted: moving this layer takes %.3g nats off the loss of unseen examples and adds %.3g ± %.2g to that of training examples (%.4g)",
			gain.Gain.Mean, t.Change.Mean, t.Change.HalfWidth(), t.LossBefore)
	case UnderTrained:
		v.add(RuleUnderTrained, LevelInfo, l.Name,
			"under-trained: moving this layer takes %.3g nats off the loss of unseen examples and %.3g ± %.2g off that of training examples (%.4g), too",
			gain.Gain.Mean, -t.Change.Mean, t.Change.HalfWidth(), t.LossBefore)
	}
}

// circumstances applies the rules about how the diagnosis was made.
func (v *violations) circumstances(r *Report, opt Options) {
	if opt.Coverage > 0 && opt.Coverage < opt.threshold(RuleCoverage) {
		v.add(RuleCoverage, LevelWarning, "", "only %.1f %% of the model's parameters lie in layers that can be measured", 100*opt.Coverage)
	}
	if r.N < MinTransferExamples {
		v.add(RuleFewExamples, LevelWarning, "", "%s", fewExamples(r.N))
	}
	if opt.PreprocessDetected {
		v.add(RuleGuessedPreprocess, LevelInfo, "", "the preprocessing was guessed from the images: every figure depends on it")
	}
}
