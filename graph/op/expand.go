package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Expand repeats its input along dimensions of size 1, or along new leading
// ones, to fill Shape.
type Expand struct{ Shape []int }

func (Expand) Name() string { return "Expand" }

// Infer checks that the input broadcasts to Shape.
func (o Expand) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	lead := len(o.Shape) - x.Rank()
	for i, d := range x.Shape {
		if lead < 0 || d != 1 && d != o.Shape[lead+i] {
			return Type{}, fmt.Errorf("%v does not broadcast to shape %v", x, o.Shape)
		}
	}
	return sized(x.With(o.Shape...))
}

// Forward reads the repeated dimensions with stride 0.
func (o Expand) Forward(c *kernel.Context, out Array, in []Array) {
	from := placement{strides: dims{n: len(o.Shape)}}
	lead := len(o.Shape) - in[0].Rank()
	input := contiguous(in[0].Shape)
	for i, stride := range input.strides.all() {
		if in[0].Shape[i] != 1 {
			from.strides.at[lead+i] = stride
		}
	}
	copyStrided(c, o.Shape, out, contiguous(o.Shape), in[0], from)
}

// Gradient sums the cotangent over the repetitions.
func (o Expand) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(SumTo{g.TypeOf(in[0]).Shape}, dout)}
}
