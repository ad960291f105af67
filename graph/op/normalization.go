package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// LayerNormalization is (x − mean)/√(variance + Epsilon)·scale + bias, with the
// moments of each slice over the dimensions from Axis on: Ba, Kiros and Hinton,
// https://arxiv.org/abs/1607.06450. scale and bias have the shape of a slice,
// or one dimension of its size; bias may be absent.
type LayerNormalization struct {
	Axis    int // not negative
	Epsilon float64
}

func (LayerNormalization) Name() string { return "LayerNormalization" }

// Infer checks that scale and bias fit the slices.
func (o LayerNormalization) Infer(in []Type) (Type, error) {
	return inferNormalization(o.Axis, max(2, min(3, len(in))), in)
}

// inferNormalization checks n inputs of a normalisation from an axis on: x and
// per-element parameters of a slice.
func inferNormalization(axis, n int, in []Type) (Type, error) {
	x, err := sameType(in, n, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	if axis < 0 || axis >= x.Rank() {
		return Type{}, fmt.Errorf("expected an axis in [0, %d), found %d", x.Rank(), axis)
	}
	slice := x.Shape[axis:]
	for _, p := range in[1:] {
		if !slices.Equal(p.Shape, slice) && !slices.Equal(p.Shape, []int{shapes.Elements(slice)}) {
			return Type{}, fmt.Errorf("expected a scale and a bias of shape %v, found %v", slice, p.Shape)
		}
	}
	return x, nil
}

func (o LayerNormalization) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		layerNorm[float32](c, o, out, in)
	} else {
		layerNorm[float64](c, o, out, in)
	}
}

func layerNorm[T kernel.Float](c *kernel.Context, o LayerNormalization, out Array, in []Array) {
	var bias []T
	if len(in) == 3 {
		bias = Elem[T](in[2])
	}
	rows, d := shapes.Elements(out.Shape[:o.Axis]), shapes.Elements(out.Shape[o.Axis:])
	kernel.LayerNorm(c, Elem[T](in[0]), Elem[T](in[1]), bias, Elem[T](out), rows, d, o.Epsilon)
}

// Gradient is that of [kernel.LayerNormGrad].
func (o LayerNormalization) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	d := NormalizationGradient{Axis: o.Axis, Epsilon: o.Epsilon, Centred: true}
	return d.all(g, in, dout, need)
}

// RMSNormalization is x/√(mean(x²) + Epsilon)·scale, with the mean of each slice
// over the dimensions from Axis on: Zhang and Sennrich,
// https://arxiv.org/abs/1910.07467. scale has the shape of a slice, or one
// dimension of its size.
type RMSNormalization struct {
	Axis    int // not negative
	Epsilon float64
}

func (RMSNormalization) Name() string { return "RMSNormalization" }

// Infer checks that the scale fits the slices.
func (o RMSNormalization) Infer(in []Type) (Type, error) {
	return inferNormalization(o.Axis, 2, in)
}

func (o RMSNormalization) Forward(c *kernel.Context, out Array, in []Array) {
	rows, d := shapes.Elements(out.Shape[:o.Axis]), shapes.Elements(out.Shape[o.Axis:])
	if y, ok := out.Data.([]float32); ok {
		kernel.RMSNorm(c, Elem[float32](in[0]), Elem[float32](in[1]), y, rows, d, o.Epsilon)
	} else {
		kernel.RMSNorm(c, Elem[float64](in[0]), Elem[float64](in[1]), Elem[float64](out), rows, d, o.Epsilon)
	}
}

// Gradient is that of [kernel.RMSNormGrad].
func (o RMSNormalization) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	d := NormalizationGradient{Axis: o.Axis, Epsilon: o.Epsilon}
	return d.all(g, in, dout, need)
}

// NormalizationGradient is a cotangent of LayerNormalization (Centred) or
// RMSNormalization, of x or, with Scale, of the scale, from x, the scale and the
// result's cotangent.
type NormalizationGradient struct {
	Axis    int
	Epsilon float64
	Centred bool
	Scale   bool
}

// all returns the cotangents of x, the scale and, if there is one, the bias.
func (o NormalizationGradient) all(g *Graph, in []*gorgonia.Node, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(in))
	if need[0] {
		grads[0] = g.Do(o, in[0], in[1], dout)
	}
	if need[1] {
		o.Scale = true
		grads[1] = g.Do(o, in[0], in[1], dout)
	}
	if len(in) == 3 && need[2] {
		x, bias := g.TypeOf(in[0]).Shape, g.TypeOf(in[2]).Shape
		rows, d := shapes.Elements(x[:o.Axis]), shapes.Elements(x[o.Axis:])
		sum := g.Do(SumTo{Shape: []int{d}}, g.reshape(dout, rows, d))
		grads[2] = g.reshape(sum, bias...)
	}
	return grads
}

func (NormalizationGradient) Name() string { return "NormalizationGradient" }

func (o NormalizationGradient) Infer(in []Type) (Type, error) {
	if len(in) != 3 || !in[2].Equal(in[0]) {
		return Type{}, fmt.Errorf("expected x, a scale and a cotangent like x, found %v", in)
	}
	if _, err := inferNormalization(o.Axis, 2, in[:2]); err != nil {
		return Type{}, err
	}
	if o.Scale {
		return in[1], nil
	}
	return in[0], nil
}

func (o NormalizationGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		normalizationGrad[float32](c, o, out, in)
	} else {
		normalizationGrad[float64](c, o, out, in)
	}
}

func normalizationGrad[T kernel.Float](c *kernel.Context, o NormalizationGradient, out Array, in []Array) {
	x, scale, dout := Elem[T](in[0]), Elem[T](in[1]), Elem[T](in[2])
	rows, d := shapes.Elements(in[0].Shape[:o.Axis]), shapes.Elements(in[0].Shape[o.Axis:])
	var dx, dscale []T
	if o.Scale {
		dscale = Elem[T](out)
	} else {
		dx = Elem[T](out)
	}
	if o.Centred {
		kernel.LayerNormGrad(c, x, scale, dout, dx, dscale, nil, rows, d, o.Epsilon)
	} else {
		kernel.RMSNormGrad(c, x, scale, dout, dx, dscale, rows, d, o.Epsilon)
	}
}

// BatchNormalization is (x − mean)/√(variance + Epsilon)·scale + bias with given
// moments: Ioffe and Szegedy, https://arxiv.org/abs/1502.03167, as at inference.
// x is [N, C, ...]; scale, bias, mean and variance are [C], in this order.
type BatchNormalization struct {
	Epsilon float64
}

func (BatchNormalization) Name() string { return "BatchNormalization" }

// Infer checks the parameters against the channels.
func (BatchNormalization) Infer(in []Type) (Type, error) {
	x, err := sameType(in, 5, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	if x.Rank() < 2 {
		return Type{}, fmt.Errorf("expected an input [N, C, ...], found %v", x)
	}
	for _, p := range in[1:] {
		if !slices.Equal(p.Shape, x.Shape[1:2]) {
			return Type{}, fmt.Errorf("expected parameters of shape %v, found %v", x.Shape[1:2], p.Shape)
		}
	}
	return x, nil
}

func (o BatchNormalization) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		batchNorm[float32](c, o, out, in)
	} else {
		batchNorm[float64](c, o, out, in)
	}
}

func batchNorm[T kernel.Float](c *kernel.Context, o BatchNormalization, out Array, in []Array) {
	channels := in[0].Shape[1]
	factor, shift := kernel.Scratch[T](c, channels), kernel.Scratch[T](c, channels)
	defer kernel.Release(c, factor)
	defer kernel.Release(c, shift)
	normFactors(o, in[1:], factor, shift)
	affineChannels(c, out.Shape, Elem[T](in[0]), factor, shift, Elem[T](out))
}

// affineChannels computes y = x·factor + shift for x [N, C, ...] and one factor
// and shift a channel; a nil shift is zero.
func affineChannels[T kernel.Float](c *kernel.Context, shape []int, x, factor, shift, y []T) {
	channels, area := shape[1], shapes.Elements(shape[2:])
	if area == 1 { // the channels are the rows' elements
		kernel.MulRow(c, x, factor, y, shape[0], channels)
		if shift != nil {
			kernel.AddRow(c, y, shift, y, shape[0], channels)
		}
		return
	}
	kernel.ScaleChannels(c, x, factor, shift, y, shape[0], channels, area)
}

// Gradient is, with r = 1/√(variance + Epsilon), dout·scale·r for x; the
// parameters' are sums over each channel.
func (o BatchNormalization) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 5)
	for i := range grads {
		if need[i] {
			grads[i] = g.Do(BatchNormGradient{o.Epsilon, i}, in[0], in[1], in[3], in[4], dout)
		}
	}
	return grads
}

// BatchNormGradient is the cotangent of one input of BatchNormalization, from x,
// scale, mean, variance and the result's cotangent.
type BatchNormGradient struct {
	Epsilon float64
	Input   int // index of the input
}

func (BatchNormGradient) Name() string { return "BatchNormalizationGradient" }

func (o BatchNormGradient) Infer(in []Type) (Type, error) {
	if len(in) != 5 || !in[4].Equal(in[0]) {
		return Type{}, fmt.Errorf("expected x, scale, mean, variance and a cotangent like x, found %v", in)
	}
	if o.Input == 0 {
		return in[0], nil
	}
	return in[1], nil
}

func (o BatchNormGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		batchNormGrad[float32](c, o, out, in)
	} else {
		batchNormGrad[float64](c, o, out, in)
	}
}

func batchNormGrad[T kernel.Float](c *kernel.Context, o BatchNormGradient, out Array, in []Array) {
	t := batchNormTask[T]{
		x: Elem[T](in[0]), scale: Elem[T](in[1]), mean: Elem[T](in[2]), variance: Elem[T](in[3]), dout: Elem[T](in[4]), grad: Elem[T](out),
		epsilon: o.Epsilon, input: o.Input, images: in[0].Shape[0], area: shapes.Elements(in[0].Shape[2:]),
	}
	if o.Input == 0 {
		factor := kernel.Scratch[T](c, len(t.scale))
		defer kernel.Release(c, factor)
		for i := range factor {
			factor[i] = T(float64(t.scale[i]) * t.inverse(i))
		}
		affineChannels(c, out.Shape, t.dout, factor, nil, t.grad)
		return
	}
	kernel.Run(c, len(t.scale), kernel.Grain(t.images*t.area), t)
}

// batchNormTask computes the cotangents of an input that is a number for each channel.
type batchNormTask[T kernel.Float] struct {
	x, scale, mean, variance, dout, grad []T
	epsilon                              float64
	input, images, area                  int
}

// inverse is 1/√(variance + Epsilon) of a channel.
func (t *batchNormTask[T]) inverse(channel int) float64 {
	return 1 / math.Sqrt(float64(t.variance[channel])+t.epsilon)
}

func (t *batchNormTask[T]) Chunk(_ *kernel.Context, lo, hi int) {
	for channel := lo; channel < hi; channel++ {
		var sum, moment float64 // Σ dout and Σ dout·(x − mean)
		for n := range t.images {
			at := (n*len(t.scale) + channel) * t.area
			dout := t.dout[at : at+t.area]
			total := kernel.Sum(dout)
			sum += total
			moment += kernel.Dot(dout, t.x[at:]) - float64(t.mean[channel])*total
		}
		r, scale := t.inverse(channel), float64(t.scale[channel])
		t.grad[channel] = T([...]float64{
			1: moment * r,
			2: sum,
			3: -sum * r * scale,
			4: -moment * r * r * r * scale / 2,
		}[t.input])
	}
}
