package graph

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Classifier returns the last linear module: that of the largest weight in the
// matrix of the last product or convolution between the image and the logits,
// whatever its name is. The error, an *Error, says that there is none.
func (n *Network) Classifier() (Layer, error) {
	for _, s := range slices.Backward(n.steps) {
		if !s.Out.OnDataPath {
			continue
		}
		switch s.Op.(type) {
		case op.MatMul, op.Linear, op.Conv, op.PatchEmbedding:
		default:
			continue
		}
		largest := -1
		for _, factor := range s.In[:2] {
			for _, w := range n.weightsOf(factor) {
				if largest < 0 || n.Weights[w].Elements > n.Weights[largest].Elements {
					largest = w
				}
			}
		}
		for _, l := range n.layers[ByModule] {
			if slices.Contains(l.Weights, largest) {
				return l, nil
			}
		}
	}
	return Layer{}, &Error{Path: n.Model.Path, Msg: "the model has no classifier", Err: fmt.Errorf("no product of weights with what comes of the image is among its steps"),
		Help: "name the layer to perturb"}
}

// weightsOf lists the weights that a value which does not depend on the image is
// made of.
func (n *Network) weightsOf(v *op.Value) []int {
	switch {
	case v.Kind == op.Weight:
		return []int{n.weightOf[v]}
	case v.Kind != op.Computed || v.OnDataPath:
		return nil
	}
	var weights []int
	for _, in := range v.Step.In {
		weights = append(weights, n.weightsOf(in)...)
	}
	return weights
}
