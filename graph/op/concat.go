package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// Concat joins its inputs along Axis.
type Concat struct{ Axis int }

func (Concat) Name() string { return "Concat" }

// Infer checks that the inputs agree outside Axis.
func (o Concat) Infer(in []Type) (Type, error) {
	if len(in) == 0 {
		return Type{}, fmt.Errorf("expected at least 1 input, found none")
	}
	first := in[0]
	if o.Axis < 0 || o.Axis >= first.Rank() {
		return Type{}, fmt.Errorf("axis %d is outside %v", o.Axis, first)
	}
	total := 0
	for i, t := range in {
		if t.DType != first.DType || t.Rank() != first.Rank() || !slices.Equal(shapes.Without(t.Shape, o.Axis), shapes.Without(first.Shape, o.Axis)) {
			return Type{}, fmt.Errorf("expected inputs that differ along axis %d only, found %v and %v (input %d)", o.Axis, first, t, i)
		}
		total += t.Shape[o.Axis]
	}
	return sized(first.With(shapes.Replaced(first.Shape, o.Axis, total)...))
}

// Forward copies each input to its place.
func (o Concat) Forward(c *kernel.Context, out Array, in []Array) {
	to := contiguous(out.Shape)
	for _, x := range in {
		copyStrided(c, x.Shape, out, to, x, contiguous(x.Shape))
		to.offset += x.Shape[o.Axis] * to.strides.at[o.Axis]
	}
}

// Gradient cuts the cotangent up again.
func (o Concat) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(in))
	at := 0
	for i, n := range in {
		part := WholeSlice(g.TypeOf(n).Shape)
		part.Starts[o.Axis] = at
		at += part.Sizes[o.Axis]
		if need[i] {
			grads[i] = g.Do(part, dout)
		}
	}
	return grads
}
