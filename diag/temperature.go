package diag

import "github.com/modeldoctor/modeldoctor/metric"

// measureTemperature fits one temperature on all examples, and measures on each
// half, whose border is at position middle, the drop in loss of the temperature
// fitted on the other. It returns nil if a half is empty or logits are not
// finite.
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
	drop := metric.PairedDrop(all.Losses(1), append(a.Losses(1/fitB), b.Losses(1/fitA)...))
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
