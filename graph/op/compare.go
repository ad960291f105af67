package op

import (
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// The comparisons take two inputs of one element type and broadcast them; the
// result is BOOL and no gradient flows through it. Any comparison with NaN is
// false.

// Equal is a == b, for numbers and truth values.
type Equal struct{}

// Name returns "Equal".
func (Equal) Name() string { return "Equal" }

// Infer broadcasts the two inputs.
func (Equal) Infer(in []Type) (Type, error) {
	return inferBool(in, ClassFloat32, ClassFloat64, ClassInt, ClassBool)
}

// Forward compares.
func (Equal) Forward(c *kernel.Context, out Array, in []Array) {
	if in[0].DType == onnx.Bool {
		broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a == b }))
		return
	}
	compare(c, out, in, equal[float32], equal[float64], equal[int64])
}

// Less is a < b.
type Less struct{}

// Name returns "Less".
func (Less) Name() string { return "Less" }

// Infer broadcasts the two inputs.
func (Less) Infer(in []Type) (Type, error) { return inferComparison(in) }

// Forward compares.
func (Less) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, in, less[float32], less[float64], less[int64])
}

// LessOrEqual is a <= b.
type LessOrEqual struct{}

// Name returns "LessOrEqual".
func (LessOrEqual) Name() string { return "LessOrEqual" }

// Infer broadcasts the two inputs.
func (LessOrEqual) Infer(in []Type) (Type, error) { return inferComparison(in) }

// Forward compares.
func (LessOrEqual) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, in, lessOrEqual[float32], lessOrEqual[float64], lessOrEqual[int64])
}

// Greater is a > b.
type Greater struct{}

// Name returns "Greater".
func (Greater) Name() string { return "Greater" }

// Infer broadcasts the two inputs.
func (Greater) Infer(in []Type) (Type, error) { return inferComparison(in) }

// Forward compares.
func (Greater) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, []Array{in[1], in[0]}, less[float32], less[float64], less[int64])
}

// GreaterOrEqual is a >= b.
type GreaterOrEqual struct{}

// Name returns "GreaterOrEqual".
func (GreaterOrEqual) Name() string { return "GreaterOrEqual" }

// Infer broadcasts the two inputs.
func (GreaterOrEqual) Infer(in []Type) (Type, error) { return inferComparison(in) }

// Forward compares.
func (GreaterOrEqual) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, []Array{in[1], in[0]}, lessOrEqual[float32], lessOrEqual[float64], lessOrEqual[int64])
}

// And is the logical conjunction of two BOOL inputs, broadcast.
type And struct{}

// Name returns "And".
func (And) Name() string { return "And" }

// Infer broadcasts the two inputs.
func (And) Infer(in []Type) (Type, error) { return inferBool(in, ClassBool) }

// Forward computes the conjunction.
func (And) Forward(c *kernel.Context, out Array, in []Array) {
	broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a && b }))
}

// Or is the logical disjunction of two BOOL inputs, broadcast.
type Or struct{}

// Name returns "Or".
func (Or) Name() string { return "Or" }

// Infer broadcasts the two inputs.
func (Or) Infer(in []Type) (Type, error) { return inferBool(in, ClassBool) }

// Forward computes the disjunction.
func (Or) Forward(c *kernel.Context, out Array, in []Array) {
	broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a || b }))
}

// Xor says which elements of two BOOL inputs differ, broadcast.
type Xor struct{}

// Name returns "Xor".
func (Xor) Name() string { return "Xor" }

// Infer broadcasts the two inputs.
func (Xor) Infer(in []Type) (Type, error) { return inferBool(in, ClassBool) }

// Forward computes the exclusive disjunction.
func (Xor) Forward(c *kernel.Context, out Array, in []Array) {
	broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a != b }))
}

// Not is the logical negation of a BOOL input.
type Not struct{}

// Name returns "Not".
func (Not) Name() string { return "Not" }

// Infer returns the input's type.
func (Not) Infer(in []Type) (Type, error) { return sameType(in, 1, ClassBool) }

// Forward negates.
func (Not) Forward(_ *kernel.Context, out Array, in []Array) {
	y := Elem[bool](out)
	for i, v := range Elem[bool](in[0]) {
		y[i] = !v
	}
}

func inferComparison(in []Type) (Type, error) {
	return inferBool(in, ClassFloat32, ClassFloat64, ClassInt)
}

func inferBool(in []Type, classes ...Class) (Type, error) {
	if _, err := sameType(in, 2, classes...); err != nil {
		return Type{}, err
	}
	shape, err := broadcastShape(in[0].Shape, in[1].Shape)
	return Type{onnx.Bool, shape}, err
}

func compare(c *kernel.Context, out Array, in []Array, f32 func(a, b float32) bool, f64 func(a, b float64) bool, ints func(a, b int64) bool) {
	switch in[0].Data.(type) {
	case []float32:
		broadcast(c, out, in, rowsOf(f32))
	case []float64:
		broadcast(c, out, in, rowsOf(f64))
	default:
		broadcast(c, out, in, rowsOf(ints))
	}
}

func equal[T Number](a, b T) bool       { return a == b }
func less[T Number](a, b T) bool        { return a < b }
func lessOrEqual[T Number](a, b T) bool { return a <= b }
