package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func castEntries() []Entry {
	return []Entry{
		{Name: "Cast", Min: 7, Max: MaxOpset, Lower: lowerCast},
		{Name: "CastLike", Min: 15, Max: MaxOpset, Lower: lowerCastLike},
	}
}

func lowerCast(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	return lowerConversion(c, x, onnx.DType(c.Node.Int("to", 0)))
}

func lowerCastLike(c *Call) ([]*op.Value, error) {
	in, err := c.inputs(2)
	if err != nil {
		return nil, err
	}
	return lowerConversion(c, in[0], in[1].Type.DType)
}

func lowerConversion(c *Call, x *op.Value, to onnx.DType) ([]*op.Value, error) {
	switch {
	case x.Type.DType == to:
		return []*op.Value{x}, nil
	case x.Kind != op.Constant && op.ClassOf(x.Type.DType) == op.ClassFloat32 && op.ClassOf(to) == op.ClassFloat32:
		return one(c.Emit(op.Relabel{To: to}, x))
	}
	return one(c.Emit(op.Cast{To: to}, x))
}
