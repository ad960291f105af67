package op

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Relu is max(x, 0).
type Relu struct{}

func (Relu) Name() string { return "Relu" }

// Infer returns the input's type.
func (Relu) Infer(in []Type) (Type, error) {
	return sameType(in, 1, ClassFloat32, ClassFloat64, ClassInt)
}

func (Relu) Forward(c *kernel.Context, out Array, in []Array) {
	if x, ok := in[0].Data.([]int64); ok {
		for i, v := range x {
			Elem[int64](out)[i] = max(v, 0)
		}
		return
	}
	clamp(c, out, in[0], 1, 0, 0, math.Inf(1))
}

// Gradient is dout where the result is positive, else 0.
func (o Relu) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, out, dout)}
}

func (Relu) grad(c *kernel.Context, dx, y, dy Array) {
	gate(c, dx, y, dy, 1, 0, math.NaN())
}

// LeakyRelu is x, times Alpha where x is negative.
type LeakyRelu struct{ Alpha float64 }

func (LeakyRelu) Name() string { return "LeakyRelu" }

// Infer returns the input's type.
func (LeakyRelu) Infer(in []Type) (Type, error) { return inferFloat(in) }

// Forward scales the negative elements.
func (o LeakyRelu) Forward(c *kernel.Context, out Array, in []Array) {
	if y, ok := out.Data.([]float32); ok {
		kernel.Leak(c, float32(o.Alpha), Elem[float32](in[0]), y)
	} else {
		kernel.Leak(c, o.Alpha, Elem[float64](in[0]), Elem[float64](out))
	}
}

// Gradient is dout, times Alpha where x is negative.
func (o LeakyRelu) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, in[0], dout)}
}

func (o LeakyRelu) grad(c *kernel.Context, dx, x, dy Array) {
	pointwiseGrad(c, dx, x, dy, leakGrad[float32](o.Alpha), leakGrad[float64](o.Alpha))
}

// Elu is x, and Alpha·(exp(x)-1) where x is negative.
type Elu struct{ Alpha float64 }

func (Elu) Name() string { return "Elu" }

// Infer returns the input's type.
func (Elu) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (o Elu) Forward(c *kernel.Context, out Array, in []Array) {
	pointwiseFunc(c, out, in[0], func(x float64) float64 {
		if x < 0 {
			return o.Alpha * math.Expm1(x)
		}
		return x
	})
}

// Gradient is dout, times Alpha·exp(x) where x is negative.
func (o Elu) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, in[0], dout)}
}

func (o Elu) grad(c *kernel.Context, dx, x, dy Array) {
	pointwiseGrad(c, dx, x, dy, eluGrad[float32](o.Alpha), eluGrad[float64](o.Alpha))
}

// Sigmoid is 1/(1+exp(-x)).
type Sigmoid struct{}

func (Sigmoid) Name() string { return "Sigmoid" }

// Infer returns the input's type.
func (Sigmoid) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Sigmoid) Forward(c *kernel.Context, out Array, in []Array) {
	viaKernel(c, out, in[0], kernel.Sigmoid[float32], kernel.Sigmoid[float64])
}

// Gradient is dout·out·(1-out).
func (o Sigmoid) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, out, dout)}
}

func (Sigmoid) grad(c *kernel.Context, dx, y, dy Array) {
	pointwiseGrad(c, dx, y, dy, sigmoidGrad[float32], sigmoidGrad[float64])
}

// Tanh is the hyperbolic tangent.
type Tanh struct{}

func (Tanh) Name() string { return "Tanh" }

// Infer returns the input's type.
func (Tanh) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Tanh) Forward(c *kernel.Context, out Array, in []Array) {
	viaKernel(c, out, in[0], kernel.Tanh[float32], kernel.Tanh[float64])
}

// Gradient is dout·(1-out²).
func (o Tanh) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, out, dout)}
}

func (Tanh) grad(c *kernel.Context, dx, y, dy Array) {
	pointwiseGrad(c, dx, y, dy, tanhGrad[float32], tanhGrad[float64])
}

// Softplus is ln(1+exp(x)).
type Softplus struct{}

func (Softplus) Name() string { return "Softplus" }

// Infer returns the input's type.
func (Softplus) Infer(in []Type) (Type, error) { return inferFloat(in) }

// Forward computes the function without overflow.
func (Softplus) Forward(c *kernel.Context, out Array, in []Array) {
	pointwiseFunc(c, out, in[0], func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) })
}

// Gradient is dout·sigmoid(x).
func (Softplus) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Mul{}, dout, g.Do(Sigmoid{}, in[0]))}
}

// HardSigmoid is Alpha·x + Beta, held between 0 and 1.
type HardSigmoid struct{ Alpha, Beta float64 }

func (HardSigmoid) Name() string { return "HardSigmoid" }

// Infer returns the input's type.
func (HardSigmoid) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (o HardSigmoid) Forward(c *kernel.Context, out Array, in []Array) {
	clamp(c, out, in[0], o.Alpha, o.Beta, 0, 1)
}

// Gradient is dout·Alpha where the result is neither 0 nor 1, else 0.
func (o HardSigmoid) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, out, dout)}
}

func (o HardSigmoid) grad(c *kernel.Context, dx, y, dy Array) {
	gate(c, dx, y, dy, o.Alpha, 0, 1)
}

// GELU is the Gaussian error linear unit (Hendrycks, Gimpel 2016):
// x/2·(1+erf(x/sqrt 2)), or, with Tanh, its approximation
// x/2·(1+tanh(sqrt(2/pi)·(x+0.044715·x³))).
type GELU struct{ Tanh bool }

func (GELU) Name() string { return "Gelu" }

// Infer returns the input's type.
func (GELU) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (o GELU) Forward(c *kernel.Context, out Array, in []Array) {
	if o.Tanh {
		viaKernel(c, out, in[0], kernel.GELUTanh[float32], kernel.GELUTanh[float64])
		return
	}
	viaKernel(c, out, in[0], kernel.GELU[float32], kernel.GELU[float64])
}

// Gradient is dout times the derivative of the form computed.
func (o GELU) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, in[0], dout)}
}

func (o GELU) grad(c *kernel.Context, dx, x, dy Array) {
	if o.Tanh {
		gradViaKernel(c, dx, x, dy, kernel.GELUTanhGrad[float32], kernel.GELUTanhGrad[float64])
		return
	}
	gradViaKernel(c, dx, x, dy, kernel.GELUGrad[float32], kernel.GELUGrad[float64])
}

// QuickGELU is x·sigmoid(Alpha·x): with Alpha 1.702 the approximation of GELU
// that CLIP uses, with Alpha 1 the function called Swish or SiLU.
type QuickGELU struct{ Alpha float64 }

func (QuickGELU) Name() string { return "QuickGelu" }

// Infer returns the input's type.
func (QuickGELU) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (o QuickGELU) Forward(c *kernel.Context, out Array, in []Array) {
	switch y := out.Data.(type) {
	case []float32:
		quickGELU(c, o.Alpha, Elem[float32](in[0]), y)
	case []float64:
		quickGELU(c, o.Alpha, Elem[float64](in[0]), y)
	}
}

// Gradient is dout·(s + Alpha·x·s·(1-s)) with s = sigmoid(Alpha·x).
func (o QuickGELU) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, in[0], dout)}
}

func (o QuickGELU) grad(c *kernel.Context, dx, x, dy Array) {
	switch d := dx.Data.(type) {
	case []float32:
		quickGELUGrad(c, o.Alpha, Elem[float32](x), Elem[float32](dy), d)
	case []float64:
		quickGELUGrad(c, o.Alpha, Elem[float64](x), Elem[float64](dy), d)
	}
}

// scaledSigmoid writes sigmoid(alpha·x) to y.
func scaledSigmoid[T kernel.Float](c *kernel.Context, alpha T, x, y []T) {
	if alpha == 1 {
		kernel.Sigmoid(c, x, y)
		return
	}
	inf := T(math.Inf(1))
	kernel.Clamp(c, alpha, 0, -inf, inf, x, y)
	kernel.Sigmoid(c, y, y)
}

func quickGELU[T kernel.Float](c *kernel.Context, alpha float64, x, y []T) {
	scaledSigmoid(c, T(alpha), x, y)
	kernel.Mul(c, x, y, y)
}

func quickGELUGrad[T kernel.Float](c *kernel.Context, alpha float64, x, dy, dx []T) {
	a := T(alpha)
	scaledSigmoid(c, a, x, dx)
	kernel.Run(c, len(dx), kernel.Grain(1), quickGELUGradTask[T]{a, x, dy, dx})
}

// quickGELUGradTask finds the sigmoids in dx.
type quickGELUGradTask[T kernel.Float] struct {
	alpha     T
	x, dy, dx []T
}

func (t *quickGELUGradTask[T]) Chunk(_ *kernel.Context, lo, hi int) {
	a, x, dy, dx := t.alpha, t.x[lo:hi], t.dy[lo:hi], t.dx[lo:hi]
	for i, s := range dx {
		dx[i] = dy[i] * s * (1 + a*x[i]*(1-s))
	}
}

func leakGrad[T kernel.Float](alpha float64) func(x, dy, dx []T) {
	return func(x, dy, dx []T) {
		for i, v := range x {
			d := dy[i]
			if v <= 0 {
				d *= T(alpha)
			}
			dx[i] = d
		}
	}
}

func eluGrad[T kernel.Float](alpha float64) func(x, dy, dx []T) {
	return func(x, dy, dx []T) {
		for i, v := range x {
			d := dy[i]
			if v < 0 {
				d *= T(alpha * math.Exp(float64(v)))
			}
			dx[i] = d
		}
	}
}

func sigmoidGrad[T kernel.Float](y, dy, dx []T) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		dx[i] = dy[i] * v * (1 - v)
	}
}

func tanhGrad[T kernel.Float](y, dy, dx []T) {
	dy, dx = dy[:len(y)], dx[:len(y)]
	for i, v := range y {
		dx[i] = dy[i] * (1 - v*v)
	}
}

// Clip holds x between Min and Max, either of which may be infinite; where Min
// is above Max the result is Max.
type Clip struct{ Min, Max float64 }

func (Clip) Name() string { return "Clip" }

// Infer returns the input's type.
func (Clip) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (o Clip) Forward(c *kernel.Context, out Array, in []Array) {
	clamp(c, out, in[0], 1, 0, o.Min, o.Max)
}

// Gradient is dout where x lies within the bounds or on them, else 0.
func (o Clip) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, in[0], dout)}
}

func (o Clip) grad(c *kernel.Context, dx, x, dy Array) {
	switch d := dx.Data.(type) { // the bounds themselves lie inside
	case []float32:
		kernel.Gate(c, 1, kernel.Below(float32(o.Min)), kernel.Above(float32(o.Max)), Elem[float32](x), Elem[float32](dy), d)
	case []float64:
		kernel.Gate(c, 1, kernel.Below(o.Min), kernel.Above(o.Max), Elem[float64](x), Elem[float64](dy), d)
	}
}

// clamp computes a·x + b, held between lo and hi.
func clamp(c *kernel.Context, out, x Array, a, b, lo, hi float64) {
	switch y := out.Data.(type) {
	case []float32:
		kernel.Clamp(c, float32(a), float32(b), float32(lo), float32(hi), Elem[float32](x), y)
	case []float64:
		kernel.Clamp(c, a, b, lo, hi, Elem[float64](x), y)
	}
}

// gate computes slope·dy, but 0 where v, an input or a result, is not strictly
// between lo and hi; NaN is no bound.
func gate(c *kernel.Context, dx, v, dy Array, slope, lo, hi float64) {
	switch d := dx.Data.(type) {
	case []float32:
		kernel.Gate(c, float32(slope), float32(lo), float32(hi), Elem[float32](v), Elem[float32](dy), d)
	case []float64:
		kernel.Gate(c, slope, lo, hi, Elem[float64](v), Elem[float64](dy), d)
	}
}
