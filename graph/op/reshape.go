package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Reshape gives its input another shape of equal size. It is a [View].
type Reshape struct{ Shape []int }

func (Reshape) Name() string { return "Reshape" }
func (Reshape) IsView()      {}

// Infer checks that the sizes agree.
func (o Reshape) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	t, err := sized(x.With(o.Shape...))
	if err != nil {
		return Type{}, err
	}
	if t.Elements() != x.Elements() {
		return Type{}, fmt.Errorf("expected a shape of %d elements for %v, found %v", x.Elements(), x, o.Shape)
	}
	return t, nil
}

// Forward copies the elements.
func (o Reshape) Forward(c *kernel.Context, out Array, in []Array) {
	n := [1]int{in[0].Elements()}
	flat := contiguous(n[:])
	copyStrided(c, n[:], out, flat, in[0], flat)
}

// Gradient gives the cotangent the input's shape.
func (o Reshape) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(Reshape{g.TypeOf(in[0]).Shape}, dout)}
}
