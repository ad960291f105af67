package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func reshapeEntries() []Entry {
	return []Entry{
		{Name: "Reshape", Min: 1, Max: MaxOpset, Lower: lowerReshape},
		{Name: "Flatten", Min: 1, Max: MaxOpset, Lower: lowerFlatten},
		{Name: "Squeeze", Min: 1, Max: MaxOpset, Lower: lowerSqueeze},
		{Name: "Unsqueeze", Min: 1, Max: MaxOpset, Lower: lowerUnsqueeze},
	}
}

// reshape emits a Reshape, or returns v where it has the shape already.
func (c *Call) reshape(v *op.Value, shape ...int) (*op.Value, error) {
	if slices.Equal(v.Type.Shape, shape) {
		return v, nil
	}
	return c.Emit(op.Reshape{Shape: shape}, v)
}

// lowerReshape: the shape is an attribute before opset 5. A 0 copies the
// input's size at its place unless allowzero (opset 14) is set; one -1 takes
// what is left.
func lowerReshape(c *Call) ([]*op.Value, error) {
	x, want, err := c.withInts("shape")
	if err != nil {
		return nil, err
	}
	if want == nil && c.arg(1) == nil {
		return nil, fmt.Errorf("no shape is given")
	}
	shape, err := reshapeTarget(x.Type, want, c.Node.Int("allowzero", 0) != 0)
	if err != nil {
		return nil, err
	}
	return one(c.reshape(x, shape...))
}

func reshapeTarget(x op.Type, want []int64, allowZero bool) ([]int, error) {
	shape := make([]int, len(want))
	rest, known := -1, 1
	for i, d := range want {
		switch {
		case d == -1 && rest >= 0:
			return nil, fmt.Errorf("shape %v has more than one -1", want)
		case d == -1:
			rest = i
			continue
		case d == 0 && !allowZero:
			if i >= x.Rank() {
				return nil, fmt.Errorf("shape %v copies dimension %d of %v, which has only %d", want, i, x, x.Rank())
			}
			shape[i] = x.Shape[i]
		case d < 0 || d > math.MaxInt32:
			return nil, fmt.Errorf("size %d in shape %v is out of range", d, want)
		default:
			shape[i] = int(d)
		}
	}
	if rest >= 0 {
		shape[rest] = 1
		if err := shapes.Check(shape); err != nil {
			return nil, err
		}
		if known = shapes.Elements(shape); known == 0 || x.Elements()%known != 0 {
			return nil, fmt.Errorf("shape %v does not divide the %d elements of %v", want, x.Elements(), x)
		}
		shape[rest] = x.Elements() / known
	}
	return shape, nil
}

func lowerFlatten(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	axis := c.Node.Int("axis", 1)
	if axis < 0 {
		axis += int64(x.Type.Rank())
	}
	if axis < 0 || axis > int64(x.Type.Rank()) { // the rank itself is allowed
		return nil, fmt.Errorf("axis %d is outside a tensor of rank %d", c.Node.Int("axis", 1), x.Type.Rank())
	}
	return one(c.reshape(x, shapes.Elements(x.Type.Shape[:axis]), shapes.Elements(x.Type.Shape[axis:])))
}

func lowerSqueeze(c *Call) ([]*op.Value, error) {
	x, given, err := c.withInts("axes")
	if err != nil {
		return nil, err
	}
	all := !c.Node.Has("axes") && c.arg(1) == nil
	axes, err := shapes.Axes(given, x.Type.Rank())
	if err != nil {
		return nil, err
	}
	shape := []int{}
	for i, d := range x.Type.Shape {
		switch {
		case all && d == 1:
		case slices.Contains(axes, i):
			if d != 1 {
				return nil, fmt.Errorf("axis %d of %v has size %d, expected 1", i, x.Type, d)
			}
		default:
			shape = append(shape, d)
		}
	}
	return one(c.reshape(x, shape...))
}

func lowerUnsqueeze(c *Call) ([]*op.Value, error) {
	x, given, err := c.withInts("axes")
	if err != nil {
		return nil, err
	}
	if !c.Node.Has("axes") && c.arg(1) == nil {
		return nil, fmt.Errorf("no axes are given")
	}
	axes, err := shapes.Axes(given, x.Type.Rank()+len(given))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(x.Type.Shape)
	for _, a := range axes {
		shape = slices.Insert(shape, a, 1)
	}
	return one(c.reshape(x, shape...))
}
