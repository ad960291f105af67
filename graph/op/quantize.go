package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// quantization lists the operators between floating-point numbers and grids.
func quantization() []Entry {
	return []Entry{
		{Name: "QuantizeLinear", Min: 10, Max: MaxOpset, Lower: lowerQuantize},
		{Name: "DequantizeLinear", Min: 10, Max: MaxOpset, Lower: lowerDequantize},
		{Domain: "com.microsoft", Name: "QuantizeLinear", Min: 1, Max: 1, Lower: lowerQuantize},
		{Domain: "com.microsoft", Name: "DequantizeLinear", Min: 1, Max: 1, Lower: lowerDequantize},
	}
}

// QuantizeLinear is q = saturate(round(x/s) + z), ties to even. It has no
// gradient: see [FakeQuantize].
type QuantizeLinear struct{ Grid onnx.Grid }

// Name returns "QuantizeLinear".
func (QuantizeLinear) Name() string { return "QuantizeLinear" }

// Infer returns the shape of x with the integer type.
func (o QuantizeLinear) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32)
	return Type{o.Grid.DType, t.Shape}, err
}

// Forward quantises.
func (o QuantizeLinear) Forward(c *kernel.Context, out Array, in []Array) {
	x, q, group := Elem[float32](in[0]), Elem[int64](out), o.Grid.Groups(out.Shape)
	c.Parallel(len(x), pointwiseGrain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			q[i], _ = o.Grid.Quantize(x[i], group(i))
		}
	})
}

// DequantizeLinear is x = (q − z)·s.
type DequantizeLinear struct{ Grid onnx.Grid }

// Name returns "DequantizeLinear".
func (DequantizeLinear) Name() string { return "DequantizeLinear" }

// Infer returns the shape of q with the floating-point type.
func (o DequantizeLinear) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassInt)
	return Type{o.Grid.Float, t.Shape}, err
}

// Forward dequantises.
func (o DequantizeLinear) Forward(c *kernel.Context, out Array, in []Array) {
	q, x, group := Elem[int64](in[0]), Elem[float32](out), o.Grid.Groups(out.Shape)
	c.Parallel(len(x), pointwiseGrain, func(lo, hi int) {
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

// Name returns "FakeQuantize".
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
	c.Parallel(len(x), pointwiseGrain, func(lo, hi int) {
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
		dout = g.Do(castBetween(g.TypeOf(dout), t), dout)
	}
	return []*gorgonia.Node{g.Do(Slope{o}, in[0], dout)}
}

func (o FakeQuantize) slope(c *kernel.Context, dx, x, dy Array) {
	group := o.Grid.Groups(x.Shape)
	switch d := dx.Data.(type) {
	case []float32:
		passInside(c, &o.Grid, group, Elem[float32](x), Elem[float32](dy), d)
	case []float64:
		passInside(c, &o.Grid, group, Elem[float64](x), Elem[float64](dy), d)
	}
}

func passInside[T kernel.Float](c *kernel.Context, g *onnx.Grid, group func(int) int, x, dy, dx []T) {
	c.Parallel(len(x), pointwiseGrain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx[i] = 0
			if _, inside := g.Quantize(float32(x[i]), group(i)); inside {
				dx[i] = dy[i]
			}
		}
	})
}

// grid returns the grid of a QuantizeLinear or DequantizeLinear of a value of
// the given shape, of integers of type q and floats of type float; Undefined
// stands for the type of the zero point, else UINT8, and for that of the scale.
func grid(c *Call, shape []int, q, float onnx.DType) (onnx.Grid, error) {
	g := onnx.Grid{DType: q, Float: float}
	scale, err := c.Need(1)
	if err != nil {
		return g, err
	}
	if scale.Const == nil {
		return g, fmt.Errorf("scale (input 1) must be known when the graph is read: a grid that depends on the image has no gradient")
	}
	if ClassOf(scale.Type.DType) != ClassFloat32 {
		return g, fmt.Errorf("a scale of type %v is not supported", scale.Type)
	}
	g.Scale = Elem[float32](*scale.Const)
	for i, s := range g.Scale {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return g, fmt.Errorf("scale (input 1) is %v at element %d", s, i)
		}
	}
	if g.Float == onnx.Undefined {
		g.Float = scale.Type.DType
	}
	if zero := c.Arg(2); zero != nil {
		if g.DType == onnx.Undefined {
			g.DType = zero.Type.DType
		}
		if zero.Type.DType != g.DType || zero.Type.Elements() != len(g.Scale) {
			return g, fmt.Errorf("a zero point of type %v for %v and a scale of %v", zero.Type, g.DType, scale.Type)
		}
		if g.DType.CanQuantize() {
			if g.Zero, err = c.KnownInts(2, "zero point"); err != nil {
				return g, err
			}
		}
	}
	if g.DType == onnx.Undefined {
		g.DType = onnx.Uint8
	}
	switch {
	case !g.DType.CanQuantize():
		return g, fmt.Errorf("quantisation to %v is not supported", g.DType)
	case ClassOf(g.Float) != ClassFloat32:
		return g, fmt.Errorf("dequantisation to %v is not supported", g.Float)
	case c.Node.Int("precision", 0) > 1: // FLOAT, or the scale's type, which is computed in float32 too
		return g, fmt.Errorf("a division in %v is not supported", onnx.DType(c.Node.Int("precision", 0)))
	}
	g.Axis, g.BlockSize, err = onnx.GridAxis(shape, scale.Type.Shape, c.Node.Int("axis", 1), c.Node.Int("block_size", 0))
	return g, err
}

func lowerQuantize(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	g, err := grid(c, x.Type.Shape, onnx.DType(c.Node.Int("output_dtype", 0)), x.Type.DType)
	if err != nil {
		return nil, err
	}
	return one(c.Emit(QuantizeLinear{g}, x))
}

// lowerDequantize makes one [FakeQuantize] of a DequantizeLinear and the
// QuantizeLinear before it.
func lowerDequantize(c *Call) ([]*Value, error) {
	q, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	g, err := grid(c, q.Type.Shape, q.Type.DType, onnx.DType(c.Node.Int("output_dtype", 0)))
	if err != nil {
		return nil, err
	}
	if q.Step != nil {
		if before, ok := q.Step.Op.(QuantizeLinear); ok && sameGrid(before.Grid, g) {
			return one(c.Emit(FakeQuantize{g}, q.Step.In[0]))
		}
	}
	return one(c.Emit(DequantizeLinear{g}, q))
}

// sameGrid reports whether two grids differ in the type of their values at most.
func sameGrid(a, b onnx.Grid) bool {
	zeros := func(g onnx.Grid) []int64 {
		if g.Zero == nil {
			return make([]int64, len(g.Scale))
		}
		return g.Zero
	}
	return a.DType == b.DType && a.Axis == b.Axis && a.BlockSize == b.BlockSize && slices.Equal(a.Scale, b.Scale) && slices.Equal(zeros(a), zeros(b))
}
