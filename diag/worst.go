package diag

import (
	"cmp"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// findWorst names the layers where a figure is largest. middle is the number of
// examples in half A.
func findWorst(layers []LayerResult, measured []LayerFindings, middle int) Worst {
	return Worst{
		ByDeltaLoss: largest(layers, func(l LayerResult) float64 { return l.DeltaLoss }),
		ByTransfer:  largest(layers, transferOf),
		ByKappa: largest(layers, func(l LayerResult) float64 {
			if l.Kappa == nil {
				return 0
			}
			return *l.Kappa
		}),
		Set: worstSet(layers, measured, middle),
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

// worstSet is the names of the layer with the largest ΔL̂ and of all that do not
// gain significantly less, by paired differences; largest first. Being the largest
// of many noisy figures says little of one alone. The largest may be below 0: where
// figures are noisy that, too, says little of the layers.
func worstSet(layers []LayerResult, measured []LayerFindings, middle int) []string {
	var with []int // a transfer figure, by falling ΔL̂
	for i := range measured {
		if measured[i].Gains != nil {
			with = append(with, i)
		}
	}
	slices.SortStableFunc(with, func(a, b int) int { return -cmp.Compare(transferOf(layers[a]), transferOf(layers[b])) })
	var names []string
	for _, i := range with {
		if i == with[0] || lessBy(measured[with[0]].Gains, measured[i].Gains, middle).CI95[0] <= 0 {
			names = append(names, layers[i].Name)
		}
	}
	return names
}

// lessBy estimates by how much less a layer gains than another on the same
// examples, given by position, of which the first so many are half A.
func lessBy(other, gains []float32, half int) metric.Estimate {
	differences := make([]float64, len(gains))
	for i := range differences {
		differences[i] = float64(other[i]) - float64(gains[i])
	}
	less, _, _ := metric.CrossFitted(differences, half)
	return less
}
