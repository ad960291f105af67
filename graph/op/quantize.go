package op

import (
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// QuantizeLinear is q = saturate(round(x/s) + z), ties to even. It has no
// gradient: see [FakeQuantize].
type QuantizeLinear struct{ Grid onnx.Grid }

func (QuantizeLinear) Name() string { return "QuantizeLinear" }

// Infer returns the shape of x with the integer type.
func (o QuantizeLinear) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32)
	return Type{o.Grid.DType, t.Shape}, err
}

func (o QuantizeLinear) Forward(c *kernel.Context, out Array, in []Array) {
	x, q, group := Elem[float32](in[0]), Elem[int64](out), o.Grid.Groups(out.Shape)
	c.Parallel(len(x), kernel.Grain(1), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			q[i], _ = o.Grid.Quantize(x[i], group(i))
		}
	})
}

// DequantizeLinear is x = (q − z)·s.
type DequantizeLinear struct{ Grid onnx.Grid }

func (DequantizeLinear) Name() string { return "DequantizeLinear" }

// Infer returns the shape of q with the floating-point type.
func (o DequantizeLinear) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassInt)
	return Type{o.Grid.Float, t.Shape}, err
}

func (o DequantizeLinear) Forward(c *kernel.Context, out Array, in []Array) {
	q, x, group := Elem[int64](in[0]), Elem[float32](out), o.Grid.Groups(out.Shape)
	c.Parallel(len(x), kernel.Grain(1), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x[i] = o.Grid.Value(q[i], group(i))
		}
	})
}

// FakeQuantize is QuantizeLinear followed by DequantizeLinear on the same grid.
// As a step function it has no useful derivative; its gradient is the
// straight-through estimator of Bengio, Léonard and Courville (2013,
// arXiv:1308.3432), limited to the range of the grid as in
// torch.fake_quantize_per_tensor_affine: 1 where the rounded value lies within
// the range, 0 outside. Gradients, and all figures made of them, are therefore
// estimates in a network with quantised activations; losses are exact.
type FakeQuantize struct{ Grid onnx.Grid }

func (FakeQuantize) Name() string { return "FakeQuantize" }

// Infer returns the type of x.
func (o FakeQuantize) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32, ClassFloat64)
	if err == nil && ClassOf(t.DType) == ClassFloat32 {
		t.DType = o.Grid.Float
	}
	return t, err
}

// Forward rounds to the grid.
func (o FakeQuantize) Forward(c *kernel.Context, out Array, in []Array) {
	group := o.Grid.Groups(out.Shape)
	switch y := out.Data.(type) {
	case []float32:
		fakeQuantize(c, &o.Grid, group, Elem[float32](in[0]), y)
	case []float64:
		fakeQuantize(c, &o.Grid, group, Elem[float64](in[0]), y)
	}
}

func fakeQuantize[T kernel.Float](c *kernel.Context, g *onnx.Grid, group func(int) int, x, y []T) {
	c.Parallel(len(x), kernel.Grain(1), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			k := group(i)
			q, _ := g.Quantize(float32(x[i]), k)
			y[i] = T(g.Value(q, k))
		}
	})
}

// Gradient passes the cotangent on within the range.
func (o FakeQuantize) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	if t := g.TypeOf(in[0]); !g.TypeOf(dout).Equal(t) {
		dout = g.Do(CastBetween(g.TypeOf(dout), t), dout)
	}
	return []*gorgonia.Node{g.Do(PointwiseGradient{o}, in[0], dout)}
}

func (o FakeQuantize) grad(c *kernel.Context, dx, x, dy Array) {
	group := o.Grid.Groups(x.Shape)
	switch d := dx.Data.(type) {
	case []float32:
		passInside(c, &o.Grid, group, Elem[float32](x), Elem[float32](dy), d)
	case []float64:
		passInside(c, &o.Grid, group, Elem[float64](x), Elem[float64](dy), d)
	}
}

func passInside[T kernel.Float](c *kernel.Context, g *onnx.Grid, group func(int) int, x, dy, dx []T) {
	c.Parallel(len(x), kernel.Grain(1), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx[i] = 0
			if _, inside := g.Quantize(float32(x[i]), group(i)); inside {
				dx[i] = dy[i]
			}
		}
	})
}
