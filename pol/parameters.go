package pol

import "slices"

// parameters are the weights that are trained, with their values.
type parameters struct {
	group
	model  Model
	values [][]float32 // by index in the group
}

// newParameters begins with the checkpoint's values.
func newParameters(m Model, g group) *parameters {
	p := &parameters{group: g, model: m, values: g.like(m)}
	for i, w := range g.weights {
		copy(p.values[i], m.Weight(w))
	}
	return p
}

// value is a weight as it is now: trained, or the checkpoint's.
func (p *parameters) value(w int) []float32 {
	if i, trained := slices.BinarySearch(p.weights, w); trained {
		return p.values[i]
	}
	return p.model.Weight(w)
}

// install gives the model the values of some weights as they are now, after
// others have been in their place.
func (p *parameters) install(weights []int) {
	for _, w := range weights {
		if i, trained := slices.BinarySearch(p.weights, w); trained {
			p.model.Override(w, p.values[i])
		} else {
			p.model.Override(w, nil)
		}
	}
}
