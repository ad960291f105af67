package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func expandEntries() []Entry {
	return []Entry{
		{Name: "Expand", Min: 8, Max: MaxOpset, Lower: lowerExpand},
		{Name: "Tile", Min: 6, Max: MaxOpset, Lower: lowerTile},
	}
}

// lowerExpand: the input and the wanted shape broadcast with each other.
func lowerExpand(c *Call) ([]*op.Value, error) {
	in, err := c.inputs(2)
	if err != nil {
		return nil, err
	}
	want, err := c.knownSizes(1, "shape")
	if err != nil {
		return nil, err
	}
	shape, err := shapes.Broadcast(in[0].Type.Shape, want)
	if err != nil {
		return nil, err
	}
	return one(c.expand(in[0], shape...))
}

// expand emits an Expand, or returns v where it has the shape already.
func (c *Call) expand(v *op.Value, shape ...int) (*op.Value, error) {
	if v.Type.Equal(v.Type.With(shape...)) {
		return v, nil
	}
	return c.Emit(op.Expand{Shape: shape}, v)
}

// lowerTile gives every dimension [d] another before it, [1, d], repeats that
// and merges the two.
func lowerTile(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	repeats, err := c.knownSizes(1, "repeats")
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
	if err := shapes.Check(repeated); err != nil {
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
