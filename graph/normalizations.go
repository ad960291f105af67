package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Normalizations returns the layers of [ByTensor] that are scales and shifts of
// normalisations, by layer, batch or root mean square, in forward order. A batch
// normalisation that the exporter has folded into a convolution is none.
func (n *Network) Normalizations() []Layer {
	var weights []int
	for _, s := range n.steps {
		switch s.Op.(type) {
		case op.LayerNormalization, op.RMSNormalization, op.BatchNormalization:
		default:
			continue
		}
		for _, in := range s.In[1:min(3, len(s.In))] { // what follows are moments
			weights = append(weights, n.weightsOf(in)...)
		}
	}
	return slices.DeleteFunc(slices.Clone(n.layers[ByTensor]), func(l Layer) bool {
		return !slices.ContainsFunc(l.Weights, func(w int) bool { return slices.Contains(weights, w) })
	})
}
