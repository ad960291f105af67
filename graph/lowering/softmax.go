package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func softmaxEntries() []Entry {
	return []Entry{
		{Name: "Softmax", Min: 1, Max: MaxOpset, Lower: lowerSoftmax(func(axis int) op.Op { return op.Softmax{Axis: axis} })},
		{Name: "LogSoftmax", Min: 1, Max: MaxOpset, Lower: lowerSoftmax(func(axis int) op.Op { return op.LogSoftmax{Axis: axis} })},
	}
}

// lowerSoftmax returns the lowering of an operator along an axis. Before opset
// 13 the input is seen as a matrix whose columns begin at the axis, 1 by
// default; since then it is one axis, the last by default.
func lowerSoftmax(along func(axis int) op.Op) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		def := int64(-1)
		if c.Opset < 13 {
			def = 1
		}
		x, axis, err := c.along(def)
		if err != nil {
			return nil, err
		}
		if c.Opset >= 13 || axis == x.Type.Rank()-1 {
			return one(c.Emit(along(axis), x))
		}
		shape := x.Type.Shape
		m, err := c.Emit(op.Reshape{Shape: []int{shapes.Elements(shape[:axis]), shapes.Elements(shape[axis:])}}, x)
		if err != nil {
			return nil, err
		}
		if m, err = c.Emit(along(1), m); err != nil {
			return nil, err
		}
		return one(c.Emit(op.Reshape{Shape: shape}, m))
	}
}
