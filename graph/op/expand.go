package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Expand repeats its input along dimensions of size 1, or along new leading
// ones, to fill Shape.
type Expand struct{ Shape []int }

// Name returns "Expand".
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
	from := placement{strides: make([]int, len(o.Shape))}
	lead := len(o.Shape) - in[0].Rank()
	for i, stride := range rowMajor(in[0].Shape) {
		if in[0].Shape[i] != 1 {
			from.strides[lead+i] = stride
		}
	}
	copyStrided(c, o.Shape, out, placement{strides: rowMajor(o.Shape)}, in[0], from)
}

// Gradient sums the cotangent over the repetitions.
func (o Expand) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(SumTo{g.TypeOf(in[0]).Shape}, dout)}
}

func expandEntries() []Entry {
	return []Entry{
		{Name: "Expand", Min: 8, Max: MaxOpset, Lower: lowerExpand},
		{Name: "Tile", Min: 6, Max: MaxOpset, Lower: lowerTile},
	}
}

// lowerExpand: the input and the wanted shape broadcast with each other.
func lowerExpand(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	if _, err := c.Need(1); err != nil {
		return nil, err
	}
	given, err := c.KnownInts(1, "shape")
	if err != nil {
		return nil, err
	}
	want, err := toSizes(given)
	if err != nil {
		return nil, err
	}
	shape, err := broadcastShape(x.Type.Shape, want)
	if err != nil {
		return nil, err
	}
	return one(c.expand(x, shape...))
}

// expand emits an Expand, or returns v where it has the shape already.
func (p *Program) expand(v *Value, shape ...int) (*Value, error) {
	if v.Type.Equal(v.Type.With(shape...)) {
		return v, nil
	}
	return p.Emit(Expand{shape}, v)
}

// lowerTile gives every dimension [d] another before it, [1, d], repeats that
// and merges the two.
func lowerTile(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	given, err := c.KnownInts(1, "repeats")
	if err != nil {
		return nil, err
	}
	repeats, err := toSizes(given)
	if err != nil {
		return nil, err
	}
	if len(repeats) != x.Type.Rank() {
		return nil, fmt.Errorf("expected repeats for the %d dimensions of %v, found %v", x.Type.Rank(), x.Type, repeats)
	}
	var split, repeated, merged []int
	for i, d := range x.Type.Shape {
		split = append(split, 1, d)
		repeated = append(repeated, repeats[i], d)
		merged = append(merged, repeats[i]*d)
	}
	if _, err := sized(x.Type.With(repeated...)); err != nil {
		return nil, err
	}
	v, err := c.reshape(x, split...)
	if err != nil {
		return nil, err
	}
	if v, err = c.expand(v, repeated...); err != nil {
		return nil, err
	}
	return one(c.reshape(v, merged...))
}
