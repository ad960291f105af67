package diag

import "github.com/modeldoctor/modeldoctor/metric"

// measureTemperature fits one temperature on all examples, and measures on each
// half, whose border is at position middle, the drop in loss of the temperature
// fitted on the other. It returns nil if a half is empty or logits are not
// finite.
//
// The drop is that of the temperature of all, on which examples err independently,
// less what the halves' temperatures lose against it, on which the halves err
// together (see [metric.CrossFitted]). The standard error is the sum of those of
// the two parts, which holds for any correlation between them.
func measureTemperature(all metric.Logits, middle int) *Temperature {
	a, b := all.Part(0, middle), all.Part(middle, all.Len())
	if a.Len() == 0 || b.Len() == 0 {
		return nil
	}
	whole, ok := all.FitTemperature()
	fitA, okA := a.FitTemperature()
	fitB, okB := b.FitTemperature()
	if !ok || !okA || !okB {
		return nil
	}
	fitted, crossed := all.Losses(1/whole), append(a.Losses(1/fitB), b.Losses(1/fitA)...)
	best := metric.PairedDrop(all.Losses(1), fitted)
	lost, _, _ := metric.CrossFitted(metric.Differences(crossed, fitted), middle)
	drop := metric.NormalEstimate(best.Mean-lost.Mean, best.SE+lost.SE)
	if !drop.IsFinite() {
		return nil
	}
	if whole == metric.MinTemperature || whole == metric.MaxTemperature {
		return &Temperature{Beyond: whole, Drop: drop}
	}
	return &Temperature{Value: &whole, Drop: drop}
}

// calibrate returns the temperature that losses are taken at, and where it comes
// from. asked is as in [Options].
func calibrate(asked float64, found *Temperature) (float64, Calibration) {
	switch {
	case asked == 1:
		return 1, Raw
	case asked > 0:
		return asked, Given
	case found != nil && found.Value != nil:
		return *found.Value, Fitted
	}
	return 1, Unfitted
}
