package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func concatEntries() []Entry {
	return []Entry{{Name: "Concat", Min: 1, Max: MaxOpset, Lower: lowerConcat}}
}

// lowerConcat: the axis defaults to 1 before opset 4.
func lowerConcat(c *Call) ([]*op.Value, error) {
	in, err := c.inputs(max(1, len(c.In)))
	if err != nil {
		return nil, err
	}
	axis, err := shapes.Axis(c.Node.Int("axis", 1), in[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	return one(c.concat(axis, in...))
}

// concat emits a Concat, or returns its only input.
func (c *Call) concat(axis int, parts ...*op.Value) (*op.Value, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	return c.Emit(op.Concat{Axis: axis}, parts...)
}
