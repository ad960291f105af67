package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

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

// Name returns "LayerNormalization".
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
		if !slices.Equal(p.Shape, slice) && !slices.Equal(p.Shape, []int{elements(slice)}) {
			return Type{}, fmt.Errorf("expected a scale and a bias of shape %v, found %v", slice, p.Shape)
		}
	}
	return x, nil
}

// Forward normalises.
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
	rows, d := elements(out.Shape[:o.Axis]), elements(out.Shape[o.Axis:])
	kernel.LayerNorm(c, Elem[T](in[0]), Elem[T](in[1]), bias, Elem[T](out), rows, d, o.Epsilon)
}

// Gradient is that of [kernel.LayerNormGrad].
func (o LayerNormalization) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	d := normalizationGradient{Axis: o.Axis, Epsilon: o.Epsilon, Centred: true}
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

// Name returns "RMSNormalization".
func (RMSNormalization) Name() string { return "RMSNormalization" }

// Infer checks that the scale fits the slices.
func (o RMSNormalization) Infer(in []Type) (Type, error) {
	return inferNormalization(o.Axis, 2, in)
}

// Forward normalises.
func (o RMSNormalization) Forward(c *kernel.Context, out Array, in []Array) {
	rows, d := elements(out.Shape[:o.Axis]), elements(out.Shape[o.Axis:])
	if y, ok := out.Data.([]float32); ok {
		kernel.RMSNorm(c, Elem[float32](in[0]), Elem[float32](in[1]), y, rows, d, o.Epsilon)
	} else {
		kernel.RMSNorm(c, Elem[float64](in[0]), Elem[float64](in[1]), Elem[float64](out), rows, d, o.Epsilon)
	}
}

// Gradient is that of [kernel.RMSNormGrad].
func (o RMSNormalization) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	d := normalizationGradient{Axis: o.Axis, Epsilon: o.Epsilon}
	return d.all(g, in, dout, need)
}

// normalizationGradient is a cotangent of LayerNormalization (Centred) or
// RMSNormalization, of x or, with Scale, of the scale, from x, the scale and the
// result's cotangent.
type normalizationGradient struct {
	Axis    int
	Epsilon float64
	Centred bool
	Scale   bool
}

// all returns the cotangents of x, the scale and, if there is one, the bias.
func (o normalizationGradient) all(g *Graph, in []*gorgonia.Node, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
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
		rows, d := elements(x[:o.Axis]), elements(x[o.Axis:])
		sum := g.Do(SumTo{Shape: []int{d}}, g.reshape(dout, rows, d))
		grads[2] = g.reshape(sum, bias...)
	}
	return grads
}

func (normalizationGradient) Name() string { return "NormalizationGradient" }

func (o normalizationGradient) Infer(in []Type) (Type, error) {
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

func (o normalizationGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		normalizationBackward[float32](c, o, out, in)
	} else {
		normalizationBackward[float64](c, o, out, in)
	}
}

func normalizationBackward[T kernel.Float](c *kernel.Context, o normalizationGradient, out Array, in []Array) {
	x, scale, dout := Elem[T](in[0]), Elem[T](in[1]), Elem[T](in[2])
	rows, d := elements(in[0].Shape[:o.Axis]), elements(in[0].Shape[o.Axis:])
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
