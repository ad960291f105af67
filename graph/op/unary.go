package op

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// The functions of one input are computed element by element; the result has
// the input's shape.

// Neg is -x.
type Neg struct{}

func (Neg) Name() string { return "Neg" }

// Infer returns the input's type.
func (Neg) Infer(in []Type) (Type, error) {
	return sameType(in, 1, ClassFloat32, ClassFloat64, ClassInt)
}

func (Neg) Forward(c *kernel.Context, out Array, in []Array) {
	pointwise(c, out, in[0], negate[float32], negate[float64], negate[int64])
}

// Gradient is -dout.
func (Neg) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Neg{}, dout)}
}

// Abs is |x|.
type Abs struct{}

func (Abs) Name() string { return "Abs" }

// Infer returns the input's type.
func (Abs) Infer(in []Type) (Type, error) {
	return sameType(in, 1, ClassFloat32, ClassFloat64, ClassInt)
}

func (Abs) Forward(c *kernel.Context, out Array, in []Array) {
	pointwise(c, out, in[0], absolute[float32], absolute[float64], absolute[int64])
}

// Gradient is dout·sign(x).
func (Abs) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Mul{}, dout, g.Do(Sign{}, in[0]))}
}

// Sign is -1, 0 or 1. Its gradient is 0.
type Sign struct{}

func (Sign) Name() string { return "Sign" }

// Infer returns the input's type.
func (Sign) Infer(in []Type) (Type, error) {
	return sameType(in, 1, ClassFloat32, ClassFloat64, ClassInt)
}

func (Sign) Forward(c *kernel.Context, out Array, in []Array) {
	pointwise(c, out, in[0], sign[float32], sign[float64], sign[int64])
}

// Gradient is 0.
func (Sign) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return gradientOfStep(g, dout)
}

// Rounding says how [Round] rounds.
type Rounding uint8

// The roundings, named as the ONNX operators.
const (
	Nearest Rounding = iota // Round: to the nearest integer, ties to even
	Floor
	Ceil
)

// Round rounds to integers. Its gradient is 0.
type Round struct{ To Rounding }

func (o Round) Name() string { return [...]string{"Round", "Floor", "Ceil"}[o.To] }

// Infer returns the input's type.
func (Round) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (o Round) Forward(c *kernel.Context, out Array, in []Array) {
	pointwiseFunc(c, out, in[0], [...]func(float64) float64{math.RoundToEven, math.Floor, math.Ceil}[o.To])
}

// Gradient is 0.
func (Round) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return gradientOfStep(g, dout)
}

// Sqrt is the square root.
type Sqrt struct{}

func (Sqrt) Name() string { return "Sqrt" }

// Infer returns the input's type.
func (Sqrt) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Sqrt) Forward(c *kernel.Context, out Array, in []Array) {
	pointwise(c, out, in[0], squareRoot[float32], squareRoot[float64], nil)
}

// Gradient is dout/(2·out).
func (o Sqrt) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, out, dout)}
}

func (Sqrt) grad(c *kernel.Context, dx, y, dy Array) {
	pointwiseGrad(c, dx, y, dy, squareRootGrad[float32], squareRootGrad[float64])
}

// Reciprocal is 1/x.
type Reciprocal struct{}

func (Reciprocal) Name() string { return "Reciprocal" }

// Infer returns the input's type.
func (Reciprocal) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Reciprocal) Forward(c *kernel.Context, out Array, in []Array) {
	pointwise(c, out, in[0], reciprocal[float32], reciprocal[float64], nil)
}

// Gradient is -dout·out².
func (o Reciprocal) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, out, dout)}
}

func (Reciprocal) grad(c *kernel.Context, dx, y, dy Array) {
	pointwiseGrad(c, dx, y, dy, reciprocalGrad[float32], reciprocalGrad[float64])
}

// Exp is e to the power x.
type Exp struct{}

func (Exp) Name() string { return "Exp" }

// Infer returns the input's type.
func (Exp) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Exp) Forward(c *kernel.Context, out Array, in []Array) {
	viaKernel(c, out, in[0], kernel.Exp[float32], kernel.Exp[float64])
}

// Gradient is dout·out.
func (Exp) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Mul{}, dout, out)}
}

// Log is the natural logarithm.
type Log struct{}

func (Log) Name() string { return "Log" }

// Infer returns the input's type.
func (Log) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Log) Forward(c *kernel.Context, out Array, in []Array) {
	pointwiseFunc(c, out, in[0], math.Log)
}

// Gradient is dout/x.
func (Log) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Div{}, dout, in[0])}
}

// Sin is the sine of x in radians.
type Sin struct{}

func (Sin) Name() string { return "Sin" }

// Infer returns the input's type.
func (Sin) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Sin) Forward(c *kernel.Context, out Array, in []Array) {
	pointwiseFunc(c, out, in[0], math.Sin)
}

// Gradient is dout·cos(x).
func (Sin) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Mul{}, dout, g.Do(Cos{}, in[0]))}
}

// Cos is the cosine of x in radians.
type Cos struct{}

func (Cos) Name() string { return "Cos" }

// Infer returns the input's type.
func (Cos) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Cos) Forward(c *kernel.Context, out Array, in []Array) {
	pointwiseFunc(c, out, in[0], math.Cos)
}

// Gradient is -dout·sin(x).
func (Cos) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Neg{}, g.Do(Mul{}, dout, g.Do(Sin{}, in[0])))}
}

// Erf is the error function.
type Erf struct{}

func (Erf) Name() string { return "Erf" }

// Infer returns the input's type.
func (Erf) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Erf) Forward(c *kernel.Context, out Array, in []Array) {
	viaKernel(c, out, in[0], kernel.Erf[float32], kernel.Erf[float64])
}

// Gradient is dout·2/sqrt(pi)·exp(-x²).
func (o Erf) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, in[0], dout)}
}

func (Erf) grad(c *kernel.Context, dx, x, dy Array) {
	pointwiseGrad(c, dx, x, dy, erfGrad[float32], erfGrad[float64])
}

// IsNaN says which elements of a float array are NaN.
type IsNaN struct{}

func (IsNaN) Name() string { return "IsNaN" }

// Infer returns BOOL of the input's shape.
func (IsNaN) Infer(in []Type) (Type, error) { return inferTest(in) }

func (IsNaN) Forward(c *kernel.Context, out Array, in []Array) {
	test(c, out, in[0], math.IsNaN)
}

// IsInf says which elements of a float array are infinities of the signs asked
// for.
type IsInf struct{ Negative, Positive bool }

func (IsInf) Name() string { return "IsInf" }

// Infer returns BOOL of the input's shape.
func (IsInf) Infer(in []Type) (Type, error) { return inferTest(in) }

func (o IsInf) Forward(c *kernel.Context, out Array, in []Array) {
	test(c, out, in[0], func(x float64) bool {
		return o.Positive && math.IsInf(x, 1) || o.Negative && math.IsInf(x, -1)
	})
}

func inferTest(in []Type) (Type, error) {
	t, err := inferFloat(in)
	return Type{onnx.Bool, t.Shape}, err
}

// test computes a truth value for each float of x.
func test(c *kernel.Context, out, x Array, f func(float64) bool) {
	y := Elem[bool](out)
	c.Parallel(len(y), kernel.Grain(1), func(lo, hi int) {
		switch x := x.Data.(type) {
		case []float32:
			for i, v := range x[lo:hi] {
				y[lo+i] = f(float64(v))
			}
		case []float64:
			for i, v := range x[lo:hi] {
				y[lo+i] = f(v)
			}
		}
	})
}

func negate[T Number](x, y []T) {
	for i, v := range x {
		y[i] = -v
	}
}

func absolute[T Number](x, y []T) {
	for i, v := range x {
		if v <= 0 { // also where v is -0
			v = 0 - v
		}
		y[i] = v
	}
}

func sign[T Number](x, y []T) {
	for i, v := range x {
		switch {
		case v > 0:
			y[i] = 1
		case v < 0:
			y[i] = -1
		default: // 0, or NaN as it is
			y[i] = v
		}
	}
}

func squareRoot[T kernel.Float](x, y []T) {
	for i, v := range x {
		y[i] = T(math.Sqrt(float64(v)))
	}
}

func squareRootGrad[T kernel.Float](y, dy, dx []T) {
	for i, v := range y {
		dx[i] = dy[i] / (2 * v)
	}
}

func reciprocal[T kernel.Float](x, y []T) {
	for i, v := range x {
		y[i] = 1 / v
	}
}

func reciprocalGrad[T kernel.Float](y, dy, dx []T) {
	for i, v := range y {
		dx[i] = -dy[i] * v * v
	}
}

func erfGrad[T kernel.Float](x, dy, dx []T) {
	for i, v := range x {
		dx[i] = T(float64(dy[i]) * (2 / math.SqrtPi) * math.Exp(-float64(v)*float64(v)))
	}
}
