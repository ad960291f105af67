package diag

import "github.com/modeldoctor/modeldoctor/metric"

// measureTemperature fits one temperature on all examples, and measures on each
// half, whose border is at position middle, the drop in loss of the temperature
// fitted on the other. It returns nil if a half is empty or logits are not
// finite.
func measureTemperature(all metric.Logits, middle int) *Temperature {
	a, b := all.Part(0, middle), all.Part(middle, len(all.Labels))
	if len(a.Labels) == 0 || len(b.Labels) == 0 {
		return nil
	}
	whole, ok := all.FitTemperature()
	fitA, okA := a.FitTemperature()
	fitB, okB := b.FitTemperature()
	if !ok || !okA || !okB {
		return nil
	}
	gains := append(a.Losses(1/fitB), b.Losses(1/fitA)...)
	for p, before := range all.Losses(1) {
		gains[p] = before - gains[p]
	}
	mean, se := metric.MeanAndError(gains)
	if !metric.IsFinite(mean) || !metric.IsFinite(se) {
		return nil
	}
	return &Temperature{Value: whole, DeltaLoss: mean, SE: se, CI95: metric.Interval(mean, se)}
}
