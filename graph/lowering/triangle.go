package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func triangleEntries() []Entry {
	return []Entry{
		{Name: "Trilu", Min: 14, Max: MaxOpset, Lower: lowerTrilu},
		{Name: "EyeLike", Min: 9, Max: MaxOpset, Lower: lowerEyeLike, NoGradient: foldedResults},
	}
}

// diagonal returns a diagonal's number, cut to what a matrix can have.
func diagonal(k int64) int { return int(min(max(k, -shapes.MaxElements), shapes.MaxElements)) }

func lowerTrilu(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	o := op.Trilu{Upper: c.Node.Int("upper", 1) != 0}
	k, err := c.knownInts(1, "k")
	if err != nil {
		return nil, err
	}
	if len(k) > 1 {
		return nil, fmt.Errorf("expected one k, found %v", k)
	}
	if len(k) == 1 {
		o.K = diagonal(k[0])
	}
	return one(c.Emit(o, x))
}

// lowerEyeLike: only the shape and the type of the input count.
func lowerEyeLike(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	if x.Type.Rank() != 2 {
		return nil, fmt.Errorf("expected a matrix, found %v", x.Type)
	}
	t := op.Type{DType: onnx.DType(c.Node.Int("dtype", int64(x.Type.DType))), Shape: x.Type.Shape}
	if op.ClassOf(t.DType) == op.ClassNone {
		return nil, fmt.Errorf("dtype %v is not supported", t.DType)
	}
	out, err := c.NewArray(t)
	if err != nil {
		return nil, err
	}
	k := diagonal(c.Node.Int("k", 0))
	for row := range t.Shape[0] {
		column := row + k
		if column < 0 || column >= t.Shape[1] {
			continue
		}
		out.Set(row*t.Shape[1]+column, 1)
	}
	return []*op.Value{c.Constant(out)}, nil
}
