package pol

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/nn"
)

// A group is the weights of some layers, taken together.
type group struct {
	weights []int
	neck    int // the highest neck below every use of them
}

// newGroup joins layers; a weight that is in two is taken once. Without weights
// the neck is none: that of the logits.
func newGroup(m nn.Model, layers ...diag.Layer) group {
	g := group{neck: m.Necks() - 1}
	for _, l := range layers {
		if len(l.Weights) > 0 {
			g.weights = append(g.weights, l.Weights...)
			g.neck = min(g.neck, l.Neck)
		}
	}
	slices.Sort(g.weights)
	g.weights = slices.Compact(g.weights)
	return g
}

func (g group) empty() bool { return len(g.weights) == 0 }

// elements is the number of scalars.
func (g group) elements(m nn.Model) int {
	n := 0
	for _, w := range g.weights {
		n += m.WeightElements(w)
	}
	return n
}

// Names lists the names of layers.
func Names(layers []diag.Layer) []string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	return names
}
