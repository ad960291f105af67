package op

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Cast converts elements to another type. Floats become FLOAT16 or BFLOAT16 by
// rounding to nearest even (the elements stay float32), integers by truncation
// toward zero, then wrap to the width of their type; NaN becomes the integer 0.
// Anything but zero is true.
type Cast struct{ To onnx.DType }

func (Cast) Name() string { return "Cast" }

// Infer returns the input's shape with the new element type.
func (o Cast) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32, ClassFloat64, ClassInt, ClassBool)
	if err == nil && ClassOf(o.To) == ClassNone {
		err = fmt.Errorf("to %v: element type not supported", o.To)
	}
	return Type{o.To, t.Shape}, err
}

func (o Cast) Forward(c *kernel.Context, out Array, in []Array) {
	switch x := in[0].Data.(type) {
	case []float32:
		convert(c, o.To, out, x)
	case []float64:
		convert(c, o.To, out, x)
	case []int64:
		convert(c, o.To, out, x)
	case []bool:
		ints, _ := in[0].AsInts()
		convert(c, o.To, out, ints)
	}
}

func convert[T Number](c *kernel.Context, to onnx.DType, out Array, x []T) {
	c.Parallel(len(x), kernel.Grain(1), func(lo, hi int) {
		switch y := out.Data.(type) {
		case []float32:
			convertFloats(x[lo:hi], y[lo:hi])
			RoundTo(to, y[lo:hi])
		case []float64:
			convertFloats(x[lo:hi], y[lo:hi])
		case []int64:
			for i, v := range x[lo:hi] {
				y[lo+i] = toInt(v)
			}
			Wrap(to, y[lo:hi])
		case []bool:
			for i, v := range x[lo:hi] {
				y[lo+i] = v != 0
			}
		}
	})
}

func convertFloats[T Number, F kernel.Float](x []T, y []F) {
	for i, v := range x {
		y[i] = F(v)
	}
}

// toInt truncates; what is beyond the range of int64 becomes its nearest end,
// because Go leaves that conversion to the processor.
func toInt[T Number](v T) int64 {
	switch f := float64(v); {
	case f != f:
		return 0
	case f >= math.MaxInt64:
		if i, ok := any(v).(int64); ok {
			return i
		}
		return math.MaxInt64
	case f < math.MinInt64:
		return math.MinInt64
	}
	return int64(v)
}

// Gradient converts the cotangent back.
func (o Cast) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(CastBetween(g.TypeOf(dout), g.TypeOf(in[0])), dout)}
}

// CastBetween is the Op for a conversion on the path of gradients.
func CastBetween(from, to Type) Op {
	if ClassOf(from.DType) == ClassFloat32 && ClassOf(to.DType) == ClassFloat32 {
		return Relabel{to.DType}
	}
	return Cast{to.DType}
}

// Relabel is a conversion among FLOAT, FLOAT16 and BFLOAT16 that leaves the
// elements as they are. Casts of anything that is not a constant are lowered to
// it: a model exported in half precision is computed, and differentiated, in
// float32 throughout, without rounding in between.
type Relabel struct{ To onnx.DType }

func (Relabel) Name() string { return "Cast" }
func (Relabel) IsView()      {}

// Infer returns the input's shape with the new element type.
func (o Relabel) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32)
	if err == nil && ClassOf(o.To) != ClassFloat32 {
		err = fmt.Errorf("%v to %v is not a conversion within float32", t, o.To)
	}
	return Type{o.To, t.Shape}, err
}

func (Relabel) Forward(_ *kernel.Context, out Array, in []Array) {
	copy(Elem[float32](out), Elem[float32](in[0]))
}

// Gradient gives the cotangent the input's type.
func (Relabel) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Relabel{g.TypeOf(in[0]).DType}, dout)}
}
