package op

import (
	"fmt"
	"slices"

	"modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Conv is a convolution (cross-correlation, as networks mean it) of
// x [N, C, spatial...] with filters W [M, C/Group, Kernel...], plus a bias [M],
// which may be absent. The result is [N, M, spatial...]. There are one to three
// spatial dimensions.
type Conv struct {
	Kernel, Strides, Dilations []int // one for each spatial dimension
	Pads                       []int // before each dimension, then after
	Group                      int
}

// Name returns "Conv".
func (Conv) Name() string { return "Conv" }

// Patches reports whether the convolution cuts its input into patches: kernels
// that do not overlap, with no padding, over all channels.
func (o Conv) Patches() bool {
	return o.Group == 1 && slices.Equal(o.Kernel, o.Strides) && nothing(o.Pads, 0) && nothing(o.Dilations, 1)
}

// typesOf returns the types of arrays.
func typesOf(in []Array) []Type {
	types := make([]Type, len(in))
	for i, a := range in {
		types[i] = a.Type
	}
	return types
}

// nothing reports whether every element is the neutral one.
func nothing(v []int, neutral int) bool {
	return !slices.ContainsFunc(v, func(x int) bool { return x != neutral })
}

// Infer checks filters, bias and geometry.
func (o Conv) Infer(in []Type) (Type, error) {
	n, err := o.convolution(in)
	if err != nil {
		return Type{}, err
	}
	x := in[0]
	return x.With(append([]int{n.images, n.filters}, n.outShape(x.Rank())...)...), nil
}

// convolution checks the types of x, the filters and an optional bias, and
// returns the sizes.
func (o Conv) convolution(in []Type) (convolution, error) {
	x, err := sameType(in, max(2, min(3, len(in))), ClassFloat32, ClassFloat64)
	if err != nil {
		return convolution{}, err
	}
	w, err := newWindow(x.Shape, o.Kernel, o.Strides, o.Dilations, o.Pads, false)
	if err != nil {
		return convolution{}, err
	}
	filters := in[1].Shape
	if len(filters) != x.Rank() || !slices.Equal(filters[2:], o.Kernel) {
		return convolution{}, fmt.Errorf("expected filters [M, C, %v] for the input %v, found %v", o.Kernel, x.Shape, filters)
	}
	channels := x.Shape[1]
	if o.Group < 1 || filters[1]*o.Group != channels || filters[0]%o.Group != 0 {
		return convolution{}, fmt.Errorf("expected filters for the %d channels in %d groups, found %v", channels, o.Group, filters)
	}
	if len(in) == 3 && !slices.Equal(in[2].Shape, filters[:1]) {
		return convolution{}, fmt.Errorf("expected a bias of shape %v, found %v", filters[:1], in[2].Shape)
	}
	return convolution{window: w, images: x.Shape[0], channels: channels, filters: filters[0], groups: o.Group}, nil
}

// Forward convolves.
func (o Conv) Forward(c *kernel.Context, out Array, in []Array) {
	n, err := o.convolution(typesOf(in))
	if err != nil {
		panic("op: Conv: " + err.Error())
	}
	if _, ok := out.Data.([]float32); ok {
		convolve[float32](c, n, out, in)
	} else {
		convolve[float64](c, n, out, in)
	}
}

// Gradient is a convolution each for x and W and a sum for the bias.
func (o Conv) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return convGradient{Conv: o}.all(g, in, dout, need)
}

// PatchEmbedding is a Conv over patches ([Conv.Patches]) of images [N, C, H, W]
// whose result is laid out as tokens, [N, patches, M].
type PatchEmbedding struct {
	Kernel []int // height and width of a patch, in pixels
}

// Name returns "PatchEmbedding".
func (PatchEmbedding) Name() string { return "PatchEmbedding" }

// conv is the convolution before it is laid out as tokens.
func (o PatchEmbedding) conv() Conv {
	rank := len(o.Kernel)
	return Conv{Kernel: o.Kernel, Strides: o.Kernel, Dilations: slices.Repeat([]int{1}, rank), Pads: make([]int, 2*rank), Group: 1}
}

// Infer checks filters and bias.
func (o PatchEmbedding) Infer(in []Type) (Type, error) {
	n, err := o.conv().convolution(in)
	if err != nil {
		return Type{}, err
	}
	return in[0].With(n.images, volume(n.out), n.filters), nil
}

// Forward convolves.
func (o PatchEmbedding) Forward(c *kernel.Context, out Array, in []Array) {
	n, err := o.conv().convolution(typesOf(in))
	if err != nil {
		panic("op: PatchEmbedding: " + err.Error())
	}
	n.tokens = true
	if _, ok := out.Data.([]float32); ok {
		convolve[float32](c, n, out, in)
	} else {
		convolve[float64](c, n, out, in)
	}
}

// Gradient is that of the convolution.
func (o PatchEmbedding) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return convGradient{Conv: o.conv(), Tokens: true}.all(g, in, dout, need)
}

// convGradient is the cotangent of the input of a Conv or, with Tokens, of a
// PatchEmbedding, from the filters and the result's cotangent; with Filters, the
// cotangent of the filters, from the input and the result's cotangent.
type convGradient struct {
	Conv    Conv
	Tokens  bool
	Filters bool
	Shape   []int // of what it is the cotangent of
}

// all returns the cotangents of x, W and the bias.
func (o convGradient) all(g *Graph, in []*gorgonia.Node, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(in))
	if need[0] {
		o.Shape = g.TypeOf(in[0]).Shape
		grads[0] = g.Do(o, in[1], dout)
	}
	if need[1] {
		o.Filters, o.Shape = true, g.TypeOf(in[1]).Shape
		grads[1] = g.Do(o, in[0], dout)
	}
	if len(in) == 3 && need[2] {
		bias := g.TypeOf(in[2]).Shape
		along := bias
		if !o.Tokens {
			along = append(slices.Clone(bias), slices.Repeat([]int{1}, len(o.Conv.Kernel))...)
		}
		grads[2] = g.reshape(g.Do(SumTo{Shape: along}, dout), bias...)
	}
	return grads
}

func (convGradient) Name() string { return "ConvGradient" }

func (o convGradient) convolution(in []Type) (convolution, error) {
	if len(in) != 2 {
		return convolution{}, fmt.Errorf("expected 2 inputs, found %d", len(in))
	}
	x, filters := in[0].With(o.Shape...), in[0]
	if o.Filters {
		x, filters = filters, x
	}
	n, err := o.Conv.convolution([]Type{x, filters})
	n.tokens = o.Tokens
	return n, err
}

func (o convGradient) Infer(in []Type) (Type, error) {
	n, err := o.convolution(in)
	if err != nil {
		return Type{}, err
	}
	if want := n.images * n.filters * volume(n.out); in[1].Elements() != want || in[1].DType != in[0].DType {
		return Type{}, fmt.Errorf("expected a cotangent of %d elements, found %v", want, in[1])
	}
	return in[0].With(o.Shape...), nil
}

func (o convGradient) Forward(c *kernel.Context, out Array, in []Array) {
	n, err := o.convolution(typesOf(in))
	if err != nil {
		panic("op: ConvGradient: " + err.Error())
	}
	if _, ok := out.Data.([]float32); ok {
		convolveBackward(c, n, o.Filters, Elem[float32](out), Elem[float32](in[0]), Elem[float32](in[1]))
	} else {
		convolveBackward(c, n, o.Filters, Elem[float64](out), Elem[float64](in[0]), Elem[float64](in[1]))
	}
}
