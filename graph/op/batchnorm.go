package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// BatchNormalization is (x − mean)/√(variance + Epsilon)·scale + bias with given
// moments: Ioffe and Szegedy, https://arxiv.org/abs/1502.03167, as at inference.
// x is [N, C, ...]; scale, bias, mean and variance are [C], in this order.
type BatchNormalization struct {
	Epsilon float64
}

// Name returns "BatchNormalization".
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

// Forward normalises.
func (o BatchNormalization) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		batchNorm[float32](c, o, out, in)
	} else {
		batchNorm[float64](c, o, out, in)
	}
}

func batchNorm[T kernel.Float](c *kernel.Context, o BatchNormalization, out Array, in []Array) {
	scale, bias, mean, variance := Elem[T](in[1]), Elem[T](in[2]), Elem[T](in[3]), Elem[T](in[4])
	factor := make([]T, len(scale))
	shift := make([]T, len(scale))
	for i := range factor {
		f := float64(scale[i]) / math.Sqrt(float64(variance[i])+o.Epsilon)
		factor[i], shift[i] = T(f), T(float64(bias[i])-f*float64(mean[i]))
	}
	affineChannels(c, out.Shape, Elem[T](in[0]), factor, shift, Elem[T](out))
}

// affineChannels computes y = x·factor + shift for x [N, C, ...] and one factor
// and shift a channel; a nil shift is zero.
func affineChannels[T kernel.Float](c *kernel.Context, shape []int, x, factor, shift, y []T) {
	channels, area := shape[1], elements(shape[2:])
	if area == 1 { // the channels are the rows' elements
		kernel.MulRow(c, x, factor, y, shape[0], channels)
		if shift != nil {
			kernel.AddRow(c, y, shift, y, shape[0], channels)
		}
		return
	}
	c.Parallel(shape[0]*channels, max(1, pointwiseGrain/max(1, area)), func(lo, hi int) {
		for plane := lo; plane < hi; plane++ {
			x, y := x[plane*area:(plane+1)*area], y[plane*area:(plane+1)*area]
			f, s := factor[plane%channels], T(0)
			if shift != nil {
				s = shift[plane%channels]
			}
			for i, v := range x {
				y[i] = v*f + s
			}
		}
	})
}

// Gradient is, with r = 1/√(variance + Epsilon), dout·scale·r for x; the
// parameters' are sums over each channel.
func (o BatchNormalization) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 5)
	for i := range grads {
		if need[i] {
			grads[i] = g.Do(batchNormGradient{o.Epsilon, i}, in[0], in[1], in[3], in[4], dout)
		}
	}
	return grads
}

// batchNormGradient is the cotangent of one input of BatchNormalization, from x,
// scale, mean, variance and the result's cotangent.
type batchNormGradient struct {
	Epsilon float64
	Input   int // index of the input
}

func (batchNormGradient) Name() string { return "BatchNormalizationGradient" }

func (o batchNormGradient) Infer(in []Type) (Type, error) {
	if len(in) != 5 || !in[4].Equal(in[0]) {
		return Type{}, fmt.Errorf("expected x, scale, mean, variance and a cotangent like x, found %v", in)
	}
	if o.Input == 0 {
		return in[0], nil
	}
	return in[1], nil
}

func (o batchNormGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		batchNormBackward[float32](c, o, out, in)
	} else {
		batchNormBackward[float64](c, o, out, in)
	}
}

func batchNormBackward[T kernel.Float](c *kernel.Context, o batchNormGradient, out Array, in []Array) {
	x, scale, mean, variance, dout := Elem[T](in[0]), Elem[T](in[1]), Elem[T](in[2]), Elem[T](in[3]), Elem[T](in[4])
	inverse := func(channel int) float64 { return 1 / math.Sqrt(float64(variance[channel])+o.Epsilon) }
	if o.Input == 0 {
		factor := make([]T, len(scale))
		for i := range factor {
			factor[i] = T(float64(scale[i]) * inverse(i))
		}
		affineChannels(c, out.Shape, dout, factor, nil, Elem[T](out))
		return
	}
	shape := in[0].Shape
	channels, area := shape[1], elements(shape[2:])
	c.Parallel(channels, max(1, pointwiseGrain/max(1, shape[0]*area)), func(lo, hi int) {
		for channel := lo; channel < hi; channel++ {
			var sum, moment float64 // Σ dout and Σ dout·(x − mean)
			for n := range shape[0] {
				at := (n*channels + channel) * area
				for i, v := range dout[at : at+area] {
					sum += float64(v)
					moment += float64(v) * (float64(x[at+i]) - float64(mean[channel]))
				}
			}
			r := inverse(channel)
			Elem[T](out)[channel] = T([...]float64{
				1: moment * r,
				2: sum,
				3: -sum * r * float64(scale[channel]),
				4: -moment * r * r * r * float64(scale[channel]) / 2,
			}[o.Input])
		}
	})
}
