package op

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// The arithmetic operations take two inputs of one numeric element type and
// broadcast them to a common shape. Integer results wrap to the width of their
// type; an integer divided by zero is 0, as in NumPy. UINT64 values above the
// range of INT64 are not represented.

// Add is a + b.
type Add struct{}

func (Add) Name() string { return "Add" }

// Infer broadcasts the two inputs.
func (Add) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (Add) Forward(c *kernel.Context, out Array, in []Array) {
	switch out.Data.(type) {
	case []float32:
		commutative(c, out, in, kernel.Add[float32], kernel.AddRow[float32], addRows[float32]())
	case []float64:
		commutative(c, out, in, kernel.Add[float64], kernel.AddRow[float64], addRows[float64]())
	default:
		broadcastInts(c, out, in, addRows[int64]())
	}
}

// Gradient passes the cotangent to both terms.
func (Add) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return sumToInputs(g, in, need, func(int) *gorgonia.Node { return dout })
}

// Sub is a - b.
type Sub struct{}

func (Sub) Name() string { return "Sub" }

// Infer broadcasts the two inputs.
func (Sub) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (Sub) Forward(c *kernel.Context, out Array, in []Array) {
	arithmetic(c, out, in, subRows[float32](), subRows[float64](), subRows[int64]())
}

// Gradient passes the cotangent to a and its negative to b.
func (Sub) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = g.sumTo(dout, in[0])
	}
	if need[1] { // negated after the sum: the smaller array
		grads[1] = g.Do(Neg{}, g.sumTo(dout, in[1]))
	}
	return grads
}

// Mul is a · b.
type Mul struct{}

func (Mul) Name() string { return "Mul" }

// Infer broadcasts the two inputs.
func (Mul) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (Mul) Forward(c *kernel.Context, out Array, in []Array) {
	switch out.Data.(type) {
	case []float32:
		if scaleRows(c, out, in) {
			return
		}
		commutative(c, out, in, kernel.Mul[float32], kernel.MulRow[float32], mulRows[float32]())
	case []float64:
		commutative(c, out, in, kernel.Mul[float64], kernel.MulRow[float64], mulRows[float64]())
	default:
		broadcastInts(c, out, in, mulRows[int64]())
	}
}

// Gradient is dout·b for a and dout·a for b.
func (Mul) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return sumToInputs(g, in, need, func(i int) *gorgonia.Node { return g.Do(Mul{}, dout, in[1-i]) })
}

// Div is a / b; integers are truncated toward zero.
type Div struct{}

func (Div) Name() string { return "Div" }

// Infer broadcasts the two inputs.
func (Div) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (Div) Forward(c *kernel.Context, out Array, in []Array) {
	arithmetic(c, out, in, divRows[float32](), divRows[float64](), rowsOf(func(a, b int64) int64 {
		if b == 0 {
			return 0
		}
		return a / b
	}))
}

// Gradient is dout/b for a and -(dout/b)·out for b.
func (Div) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	da := g.Do(Div{}, dout, in[1])
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = g.sumTo(da, in[0])
	}
	if need[1] {
		grads[1] = g.Do(Neg{}, g.sumTo(g.Do(Mul{}, da, out), in[1]))
	}
	return grads
}

// Pow is a to the power b. The integer power with a negative exponent is
// truncated toward zero.
type Pow struct{}

func (Pow) Name() string { return "Pow" }

// Infer broadcasts the two inputs.
func (Pow) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

// Forward raises to powers; the square and the square root, which exporters
// write as powers, are computed as such.
func (Pow) Forward(c *kernel.Context, out Array, in []Array) {
	arithmetic(c, out, in, powRows[float32](), powRows[float64](), rowsOf(powInt))
}

// Gradient is dout·b·a^(b-1) for a and dout·a^b·ln a for b.
func (Pow) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return sumToInputs(g, in, need, func(i int) *gorgonia.Node {
		return g.Do(Mul{}, dout, g.Do(PowGradient{Exponent: i == 1}, in...))
	})
}

// PowGradient is the derivative of a^b by a, or, with Exponent, by b; the latter
// is 0 where a is 0, its limit for positive b.
type PowGradient struct{ Exponent bool }

func (PowGradient) Name() string { return "PowGradient" }

// Infer broadcasts the two inputs.
func (PowGradient) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

// Forward computes the derivative.
func (o PowGradient) Forward(c *kernel.Context, out Array, in []Array) {
	byBase, byExponent := rowsOf(powByBase[float32]), rowsOf(powByExponent[float32])
	byBase64, byExponent64 := rowsOf(powByBase[float64]), rowsOf(powByExponent[float64])
	if o.Exponent {
		byBase, byBase64 = byExponent, byExponent64
	}
	arithmetic(c, out, in, byBase, byBase64, rowKernel[int64, int64]{})
}

// Max is the larger of a and b, NaN where one of them is NaN.
type Max struct{}

func (Max) Name() string { return "Max" }

// Infer broadcasts the two inputs.
func (Max) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (Max) Forward(c *kernel.Context, out Array, in []Array) {
	arithmetic(c, out, in, rowsOf(larger[float32]), rowsOf(larger[float64]), rowsOf(larger[int64]))
}

// Gradient passes the cotangent to the larger input, to a where they are equal.
func (Max) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return gradientOfChoice(g, in, dout, need, g.Do(GreaterOrEqual{}, in...))
}

// Min is the smaller of a and b, NaN where one of them is NaN.
type Min struct{}

func (Min) Name() string { return "Min" }

// Infer broadcasts the two inputs.
func (Min) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (Min) Forward(c *kernel.Context, out Array, in []Array) {
	arithmetic(c, out, in, rowsOf(smaller[float32]), rowsOf(smaller[float64]), rowsOf(smaller[int64]))
}

// Gradient passes the cotangent to the smaller input, to a where they are equal.
func (Min) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return gradientOfChoice(g, in, dout, need, g.Do(LessOrEqual{}, in...))
}

// Mod is the remainder of a / b. It has the sign of b, or, with Fmod, that of a
// as in C.
type Mod struct{ Fmod bool }

func (Mod) Name() string { return "Mod" }

// Infer broadcasts the two inputs.
func (Mod) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (o Mod) Forward(c *kernel.Context, out Array, in []Array) {
	float := func(a, b float64) float64 {
		r := math.Mod(a, b)
		if !o.Fmod && r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r
	}
	arithmetic(c, out, in,
		rowsOf(func(a, b float32) float32 { return float32(float(float64(a), float64(b))) }),
		rowsOf(float),
		rowsOf(func(a, b int64) int64 {
			if b == 0 {
				return 0
			}
			r := a % b
			if !o.Fmod && r != 0 && (r < 0) != (b < 0) {
				r += b
			}
			return r
		}))
}

// Gradient is dout for a and -q·dout for b, q = (a-out)/b being the whole
// quotient. At the jumps it is that of the side that was computed.
func (Mod) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = g.sumTo(dout, in[0])
	}
	if need[1] {
		quotient := g.Do(Div{}, g.Do(Sub{}, in[0], out), in[1])
		grads[1] = g.Do(Neg{}, g.sumTo(g.Do(Mul{}, quotient, dout), in[1]))
	}
	return grads
}

func inferArithmetic(in []Type) (Type, error) {
	t, err := sameType(in, 2, ClassFloat32, ClassFloat64, ClassInt)
	if err != nil {
		return Type{}, err
	}
	shape, err := shapes.Broadcast(in[0].Shape, in[1].Shape)
	return t.With(shape...), err
}

// sumToInputs builds the gradient of a broadcast operation: of is the cotangent
// of input i before it is summed to the input's shape.
func sumToInputs(g *Graph, in []*gorgonia.Node, need []bool, of func(i int) *gorgonia.Node) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(in))
	for i := range in {
		if need[i] {
			grads[i] = g.sumTo(of(i), in[i])
		}
	}
	return grads
}

// arithmetic computes a broadcast operation in the class of its result.
func arithmetic(c *kernel.Context, out Array, in []Array, f32 rowKernel[float32, float32], f64 rowKernel[float64, float64], ints rowKernel[int64, int64]) {
	switch out.Data.(type) {
	case []float32:
		broadcast(c, out, in, f32)
	case []float64:
		broadcast(c, out, in, f64)
	default:
		broadcastInts(c, out, in, ints)
	}
}

func broadcastInts(c *kernel.Context, out Array, in []Array, f rowKernel[int64, int64]) {
	broadcast(c, out, in, f)
	Wrap(out.DType, Elem[int64](out))
}

// commutative computes a broadcast operation that has fast kernels for two
// arrays of one shape and for a row repeated over an array.
func commutative[T kernel.Float](c *kernel.Context, out Array, in []Array,
	same func(c *kernel.Context, a, b, y []T), row func(c *kernel.Context, x, row, y []T, rows, d int), f rowKernel[T, T]) {
	a, b, y := Elem[T](in[0]), Elem[T](in[1]), Elem[T](out)
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape)
	if len(a) == len(y) && len(b) == len(y) {
		same(c, a, b, y)
		return
	}
	if len(l.size) == 2 && l.inner(0) == 1 && l.inner(1) == 1 {
		if l.stride[0][0] == 0 {
			a, b = b, a
		}
		row(c, a, b, y, l.size[0], l.size[1])
		return
	}
	broadcast(c, out, in, f)
}

func addRows[T Number]() rowKernel[T, T] {
	right := func(a []T, b T, y []T) {
		for i, v := range a {
			y[i] = v + b
		}
	}
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			for i, v := range a {
				y[i] = v + b[i]
			}
		},
		right: right,
		left:  func(a T, b []T, y []T) { right(b, a, y) },
	}
}

func subRows[T Number]() rowKernel[T, T] {
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			b, y = b[:len(a)], y[:len(a)]
			for i, v := range a {
				y[i] = v - b[i]
			}
		},
		right: func(a []T, b T, y []T) {
			for i, v := range a {
				y[i] = v - b
			}
		},
		left: func(a T, b []T, y []T) {
			for i, v := range b {
				y[i] = a - v
			}
		},
	}
}

func mulRows[T Number]() rowKernel[T, T] {
	right := func(a []T, b T, y []T) {
		y = y[:len(a)]
		for i, v := range a {
			y[i] = v * b
		}
	}
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			b, y = b[:len(a)], y[:len(a)]
			for i, v := range a {
				y[i] = v * b[i]
			}
		},
		right: right,
		left:  func(a T, b []T, y []T) { right(b, a, y) },
	}
}

func divRows[T kernel.Float]() rowKernel[T, T] {
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			b, y = b[:len(a)], y[:len(a)]
			for i, v := range a {
				y[i] = v / b[i]
			}
		},
		right: func(a []T, b T, y []T) {
			for i, v := range a {
				y[i] = v / b
			}
		},
		left: func(a T, b []T, y []T) {
			for i, v := range b {
				y[i] = a / v
			}
		},
	}
}

func powRows[T kernel.Float]() rowKernel[T, T] {
	k := rowsOf(func(a, b T) T { return T(math.Pow(float64(a), float64(b))) })
	general := k.right
	k.right = func(a []T, b T, y []T) {
		switch b {
		case 2:
			for i, v := range a {
				y[i] = v * v
			}
		case 0.5:
			for i, v := range a {
				y[i] = T(math.Sqrt(float64(v)))
			}
		default:
			general(a, b, y)
		}
	}
	return k
}

func powByBase[T kernel.Float](a, b T) T {
	switch b {
	case 0:
		return 0
	case 1:
		return 1
	case 2:
		return 2 * a
	}
	return b * T(math.Pow(float64(a), float64(b)-1))
}

func powByExponent[T kernel.Float](a, b T) T {
	if a == 0 {
		return 0
	}
	return T(math.Pow(float64(a), float64(b)) * math.Log(float64(a)))
}

func powInt(a, b int64) int64 {
	if b < 0 {
		switch {
		case a == 1 || a == -1 && b%2 == 0:
			return 1
		case a == -1:
			return -1
		}
		return 0
	}
	r := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			r *= a
		}
		a *= a
	}
	return r
}

func larger[T Number](a, b T) T  { return max(a, b) }
func smaller[T Number](a, b T) T { return min(a, b) }
