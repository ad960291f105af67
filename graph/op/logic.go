package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// The comparisons take two inputs of one element type and broadcast them; the
// result is BOOL and no gradient flows through it. Any comparison with NaN is
// false.

// Equal is a == b, for numbers and truth values.
type Equal struct{}

func (Equal) Name() string { return "Equal" }

// Infer broadcasts the two inputs.
func (Equal) Infer(in []Type) (Type, error) {
	return inferBool(in, ClassFloat32, ClassFloat64, ClassInt, ClassBool)
}

func (Equal) Forward(c *kernel.Context, out Array, in []Array) {
	if in[0].DType == onnx.Bool {
		broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a == b }))
		return
	}
	compare(c, out, in, equal[float32], equal[float64], equal[int64])
}

// Less is a < b.
type Less struct{}

func (Less) Name() string { return "Less" }

// Infer broadcasts the two inputs.
func (Less) Infer(in []Type) (Type, error) { return inferComparison(in) }

func (Less) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, in, less[float32], less[float64], less[int64])
}

// LessOrEqual is a <= b.
type LessOrEqual struct{}

func (LessOrEqual) Name() string { return "LessOrEqual" }

// Infer broadcasts the two inputs.
func (LessOrEqual) Infer(in []Type) (Type, error) { return inferComparison(in) }

func (LessOrEqual) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, in, lessOrEqual[float32], lessOrEqual[float64], lessOrEqual[int64])
}

// Greater is a > b.
type Greater struct{}

func (Greater) Name() string { return "Greater" }

// Infer broadcasts the two inputs.
func (Greater) Infer(in []Type) (Type, error) { return inferComparison(in) }

func (Greater) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, []Array{in[1], in[0]}, less[float32], less[float64], less[int64])
}

// GreaterOrEqual is a >= b.
type GreaterOrEqual struct{}

func (GreaterOrEqual) Name() string { return "GreaterOrEqual" }

// Infer broadcasts the two inputs.
func (GreaterOrEqual) Infer(in []Type) (Type, error) { return inferComparison(in) }

func (GreaterOrEqual) Forward(c *kernel.Context, out Array, in []Array) {
	compare(c, out, []Array{in[1], in[0]}, lessOrEqual[float32], lessOrEqual[float64], lessOrEqual[int64])
}

// And is the logical conjunction of two BOOL inputs, broadcast.
type And struct{}

func (And) Name() string { return "And" }

// Infer broadcasts the two inputs.
func (And) Infer(in []Type) (Type, error) { return inferBool(in, ClassBool) }

// Forward computes the conjunction.
func (And) Forward(c *kernel.Context, out Array, in []Array) {
	broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a && b }))
}

// Or is the logical disjunction of two BOOL inputs, broadcast.
type Or struct{}

func (Or) Name() string { return "Or" }

// Infer broadcasts the two inputs.
func (Or) Infer(in []Type) (Type, error) { return inferBool(in, ClassBool) }

// Forward computes the disjunction.
func (Or) Forward(c *kernel.Context, out Array, in []Array) {
	broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a || b }))
}

// Xor says which elements of two BOOL inputs differ, broadcast.
type Xor struct{}

func (Xor) Name() string { return "Xor" }

// Infer broadcasts the two inputs.
func (Xor) Infer(in []Type) (Type, error) { return inferBool(in, ClassBool) }

// Forward computes the exclusive disjunction.
func (Xor) Forward(c *kernel.Context, out Array, in []Array) {
	broadcast(c, out, in, rowsOf(func(a, b bool) bool { return a != b }))
}

// Not is the logical negation of a BOOL input.
type Not struct{}

func (Not) Name() string { return "Not" }

// Infer returns the input's type.
func (Not) Infer(in []Type) (Type, error) { return sameType(in, 1, ClassBool) }

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
	shape, err := shapes.Broadcast(in[0].Shape, in[1].Shape)
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

// Where takes three inputs, a BOOL condition and two of one element type, and
// broadcasts them: the second where the condition holds, else the third.
type Where struct{}

func (Where) Name() string { return "Where" }

// Infer broadcasts the three inputs.
func (Where) Infer(in []Type) (Type, error) {
	if len(in) != 3 {
		return Type{}, fmt.Errorf("expected 3 inputs, found %d", len(in))
	}
	if in[0].DType != onnx.Bool {
		return Type{}, fmt.Errorf("expected a BOOL condition, found %v", in[0])
	}
	t, err := sameType(in[1:], 2, ClassFloat32, ClassFloat64, ClassInt, ClassBool)
	if err != nil {
		return Type{}, err
	}
	shape, err := shapes.Broadcast(in[0].Shape, in[1].Shape, in[2].Shape)
	return t.With(shape...), err
}

func (Where) Forward(c *kernel.Context, out Array, in []Array) {
	switch out.Data.(type) {
	case []float32:
		where[float32](c, out, in)
	case []float64:
		where[float64](c, out, in)
	case []int64:
		where[int64](c, out, in)
	default:
		where[bool](c, out, in)
	}
}

func where[T Element](c *kernel.Context, out Array, in []Array) {
	y := Elem[T](out)
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape, in[2].Shape)
	kernel.Run(c, len(y), kernel.Grain(1), selecting[T]{l, Elem[bool](in[0]), Elem[T](in[1]), Elem[T](in[2]), y})
}

type selecting[T Element] struct {
	loops
	condition []bool
	a, b, y   []T
}

func (t *selecting[T]) Chunk(_ *kernel.Context, lo, hi int) {
	stepC, stepA, stepB := t.inner(0), t.inner(1), t.inner(2)
	t.rows(lo, hi, func(at, n int, offset [maxOperands]int) {
		c, a, b := offset[0], offset[1], offset[2]
		for i := range t.y[at : at+n] {
			if t.condition[c] {
				t.y[at+i] = t.a[a]
			} else {
				t.y[at+i] = t.b[b]
			}
			c, a, b = c+stepC, a+stepA, b+stepB
		}
	})
}

// Gradient passes the cotangent to the input that was selected.
func (Where) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return append([]*gorgonia.Node{nil}, gradientOfChoice(g, in[1:], dout, need[1:], in[0])...)
}

// Mask takes a BOOL condition and a float array, to whose shape the condition
// broadcasts: the array where the condition holds (with Not: where it does
// not), else 0. Gradients of selections are made of it.
type Mask struct{ Not bool }

func (Mask) Name() string { return "Mask" }

// Infer returns the type of the second input.
func (Mask) Infer(in []Type) (Type, error) {
	if len(in) != 2 || in[0].DType != onnx.Bool {
		return Type{}, fmt.Errorf("expected a BOOL condition and an array, found %v", in)
	}
	t, err := sameType(in[1:], 1, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	shape, err := shapes.Broadcast(in[0].Shape, t.Shape)
	if err == nil && len(shape) != len(t.Shape) || shapes.Elements(shape) != t.Elements() {
		err = fmt.Errorf("condition %v does not broadcast to %v", in[0], t)
	}
	return t, err
}

func (o Mask) Forward(c *kernel.Context, out Array, in []Array) {
	switch out.Data.(type) {
	case []float32:
		mask[float32](c, o.Not, out, in)
	case []float64:
		mask[float64](c, o.Not, out, in)
	}
}

func mask[T kernel.Float](c *kernel.Context, not bool, out Array, in []Array) {
	y := Elem[T](out)
	l := newLoops(out.Shape, in[0].Shape)
	kernel.Run(c, len(y), kernel.Grain(1), masking[T]{l, not, Elem[bool](in[0]), Elem[T](in[1]), y})
}

type masking[T kernel.Float] struct {
	loops
	not       bool
	condition []bool
	x, y      []T
}

func (t *masking[T]) Chunk(_ *kernel.Context, lo, hi int) {
	step := t.inner(0)
	t.rows(lo, hi, func(at, n int, offset [maxOperands]int) {
		j := offset[0]
		for i := at; i < at+n; i++ {
			if t.condition[j] != t.not {
				t.y[i] = t.x[i]
			} else {
				t.y[i] = 0
			}
			j += step
		}
	})
}

// gradientOfChoice builds the gradient of an operation whose result is a where
// choice is true and b elsewhere.
func gradientOfChoice(g *Graph, in []*gorgonia.Node, dout *gorgonia.Node, need []bool, choice *gorgonia.Node) []*gorgonia.Node {
	return sumToInputs(g, in, need, func(i int) *gorgonia.Node { return g.Do(Mask{Not: i == 1}, choice, dout) })
}
