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
		commutative(c, out, in, kernel.Add[float32], kernel.AddRow[float32], addKernel.f32)
	case []float64:
		commutative(c, out, in, kernel.Add[float64], kernel.AddRow[float64], addKernel.f64)
	default:
		broadcastInts(c, out, in, addKernel.ints)
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
	arithmetic(c, out, in, subKernel)
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
		commutative(c, out, in, kernel.Mul[float32], kernel.MulRow[float32], mulKernel.f32)
	case []float64:
		commutative(c, out, in, kernel.Mul[float64], kernel.MulRow[float64], mulKernel.f64)
	default:
		broadcastInts(c, out, in, mulKernel.ints)
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
	arithmetic(c, out, in, divKernel)
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
	arithmetic(c, out, in, powKernel)
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
	if o.Exponent {
		arithmetic(c, out, in, powByExponentKernel)
	} else {
		arithmetic(c, out, in, powByBaseKernel)
	}
}

// Max is the larger of a and b, NaN where one of them is NaN.
type Max struct{}

func (Max) Name() string { return "Max" }

// Infer broadcasts the two inputs.
func (Max) Infer(in []Type) (Type, error) { return inferArithmetic(in) }

func (Max) Forward(c *kernel.Context, out Array, in []Array) {
	arithmetic(c, out, in, maxKernel)
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
	arithmetic(c, out, in, minKernel)
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
	arithmetic(c, out, in, arithmeticKernel{
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
		}),
	})
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
