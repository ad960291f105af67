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
	return &Temperature{Value: whole, Drop: drop}
}
