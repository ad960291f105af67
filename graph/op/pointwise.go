package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// elementwise is an Op of one input whose gradient is computed element by
// element in one pass, by [PointwiseGradient].
type elementwise interface {
	Op
	// grad computes dx from v, the operation's input or its result, whichever its
	// Gradient passes, and the cotangent dy.
	grad(c *kernel.Context, dx, v, dy Array)
}

// PointwiseGradient is the gradient of the pointwise operation Of. Its inputs are
// the cotangent, second, and, first, Of's own input, or for Sqrt, Reciprocal,
// Sigmoid, HardSigmoid, Tanh and Relu its result, so that the input need not be
// kept. Its result is the input's cotangent.
type PointwiseGradient struct{ Of elementwise }

func (o PointwiseGradient) Name() string { return o.Of.Name() + "Gradient" }

// Infer returns the inputs' common type.
func (o PointwiseGradient) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 2, ClassFloat32, ClassFloat64)
	if err == nil && !in[1].Equal(t) {
		err = fmt.Errorf("expected a cotangent of type %v, found %v", t, in[1])
	}
	return t, err
}

// Forward computes the cotangent.
func (o PointwiseGradient) Forward(c *kernel.Context, out Array, in []Array) {
	o.Of.grad(c, out, in[0], in[1])
}

// pointwiseGrad computes dx from v and dy by a function over slices of equal length.
func pointwiseGrad(c *kernel.Context, dx, v, dy Array, f32 func(v, dy, dx []float32), f64 func(v, dy, dx []float64)) {
	switch d := dx.Data.(type) {
	case []float32:
		kernel.Run(c, len(d), kernel.Grain(1), pointwiseGradTask[float32]{Elem[float32](v), Elem[float32](dy), d, f32})
	case []float64:
		kernel.Run(c, len(d), kernel.Grain(1), pointwiseGradTask[float64]{Elem[float64](v), Elem[float64](dy), d, f64})
	}
}

type pointwiseGradTask[T kernel.Float] struct {
	v, dy, dx []T
	f         func(v, dy, dx []T)
}

func (t *pointwiseGradTask[T]) Chunk(_ *kernel.Context, lo, hi int) {
	t.f(t.v[lo:hi], t.dy[lo:hi], t.dx[lo:hi])
}

// gradViaKernel computes dx from v and dy by a function of package kernel.
func gradViaKernel(c *kernel.Context, dx, v, dy Array, f32 func(c *kernel.Context, v, dy, dx []float32), f64 func(c *kernel.Context, v, dy, dx []float64)) {
	switch d := dx.Data.(type) {
	case []float32:
		f32(c, Elem[float32](v), Elem[float32](dy), d)
	case []float64:
		f64(c, Elem[float64](v), Elem[float64](dy), d)
	}
}

// gradientOfStep is the gradient of a function that is constant between jumps.
func gradientOfStep(g *Graph, dout *gorgonia.Node) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Zero{}, dout)}
}

// Zero is an array of zeros of its input's type.
type Zero struct{}

func (Zero) Name() string { return "Zero" }

// Infer returns the input's type.
func (Zero) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (Zero) Forward(_ *kernel.Context, out Array, _ []Array) {
	switch y := out.Data.(type) {
	case []float32:
		clear(y)
	case []float64:
		clear(y)
	}
}

func inferFloat(in []Type) (Type, error) { return sameType(in, 1, ClassFloat32, ClassFloat64) }

// pointwise computes out from x of the same class, by a function over slices of
// equal length; integers wrap to their type.
func pointwise(c *kernel.Context, out, x Array, f32 func(x, y []float32), f64 func(x, y []float64), ints func(x, y []int64)) {
	switch y := out.Data.(type) {
	case []float32:
		kernel.Run(c, len(y), kernel.Grain(1), pointwiseTask[float32]{Elem[float32](x), y, f32})
	case []float64:
		kernel.Run(c, len(y), kernel.Grain(1), pointwiseTask[float64]{Elem[float64](x), y, f64})
	case []int64:
		kernel.Run(c, len(y), kernel.Grain(1), pointwiseTask[int64]{Elem[int64](x), y, ints})
		Wrap(out.DType, y)
	}
}

type pointwiseTask[T Number] struct {
	x, y []T
	f    func(x, y []T)
}

func (t *pointwiseTask[T]) Chunk(_ *kernel.Context, lo, hi int) { t.f(t.x[lo:hi], t.y[lo:hi]) }

// pointwiseFunc computes out from x through a function of one number, for
// operations that are not worth a loop of their own.
func pointwiseFunc(c *kernel.Context, out, x Array, f func(float64) float64) {
	pointwise(c, out, x, func(x, y []float32) {
		for i, v := range x {
			y[i] = float32(f(float64(v)))
		}
	}, func(x, y []float64) {
		for i, v := range x {
			y[i] = f(v)
		}
	}, nil)
}

// viaKernel computes out from x by a function of package kernel.
func viaKernel(c *kernel.Context, out, x Array, f32 func(c *kernel.Context, x, y []float32), f64 func(c *kernel.Context, x, y []float64)) {
	switch y := out.Data.(type) {
	case []float32:
		f32(c, Elem[float32](x), y)
	case []float64:
		f64(c, Elem[float64](x), y)
	}
}
