package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Transpose permutes dimensions: dimension i of the result is dimension Perm[i]
// of the input.
type Transpose struct{ Perm []int }

func (Transpose) Name() string { return "Transpose" }

// Infer checks that Perm is a permutation of the input's dimensions.
func (o Transpose) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	shape := make([]int, len(o.Perm))
	seen := make([]bool, len(o.Perm))
	for i, p := range o.Perm {
		if len(o.Perm) != x.Rank() || p < 0 || p >= x.Rank() || seen[p] {
			return Type{}, fmt.Errorf("expected a permutation of the %d dimensions of %v, found %v", x.Rank(), x, o.Perm)
		}
		seen[p] = true
		shape[i] = x.Shape[p]
	}
	if len(o.Perm) != x.Rank() {
		return Type{}, fmt.Errorf("expected a permutation of the %d dimensions of %v, found %v", x.Rank(), x, o.Perm)
	}
	return x.With(shape...), nil
}

// Forward copies the elements to their places.
func (o Transpose) Forward(c *kernel.Context, out Array, in []Array) {
	input := contiguous(in[0].Shape)
	var from placement
	for _, p := range o.Perm {
		from.strides.add(input.strides.at[p])
	}
	copyStrided(c, out.Shape, out, contiguous(out.Shape), in[0], from)
}

// Gradient transposes the cotangent back.
func (o Transpose) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	inverse := make([]int, len(o.Perm))
	for i, p := range o.Perm {
		inverse[p] = i
	}
	return []*gorgonia.Node{g.Do(Transpose{inverse}, dout)}
}
