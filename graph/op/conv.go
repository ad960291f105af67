package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

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

func (Conv) Name() string { return "Conv" }

// Patches reports whether the convolution cuts its input into patches: kernels
// that do not overlap, with no padding, over all channels.
func (o Conv) Patches() bool {
	return o.Group == 1 && slices.Equal(o.Kernel, o.Strides) && allEqual(o.Pads, 0) && allEqual(o.Dilations, 1)
}

// allEqual reports whether every element is x.
func allEqual(v []int, x int) bool {
	return !slices.ContainsFunc(v, func(y int) bool { return y != x })
}

// Infer checks filters, bias and geometry.
func (o Conv) Infer(in []Type) (Type, error) {
	n, err := o.convolution(in)
	if err != nil {
		return Type{}, err
	}
	x := in[0]
	return sized(x.With(append([]int{n.images, n.filters}, n.outShape(x.Rank())...)...))
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

// checked is for types that Infer has checked.
func checked(n convolution, err error) convolution {
	if err != nil {
		panic("op: convolution: " + err.Error())
	}
	return n
}

// sizes is convolution for arrays whose types Infer has checked.
func (o Conv) sizes(in []Array) convolution {
	var types [3]Type
	return checked(o.convolution(appendTypes(types[:0], in)))
}

func (o Conv) Forward(c *kernel.Context, out Array, in []Array) {
	n := o.sizes(in)
	if _, ok := out.Data.([]float32); ok {
		convolve[float32](c, n, out, in)
	} else {
		convolve[float64](c, n, out, in)
	}
}

// Gradient is a convolution each for x and W and a sum for the bias.
func (o Conv) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(in))
	if need[0] {
		grads[0] = g.Do(ConvGradient{Conv: o, Shape: g.TypeOf(in[0]).Shape}, in[1], dout)
	}
	if need[1] {
		grads[1] = g.Do(ConvGradient{Conv: o, Filters: true, Shape: g.TypeOf(in[1]).Shape}, in[0], dout)
	}
	if len(in) == 3 && need[2] {
		bias := g.TypeOf(in[2]).Shape
		along := append(slices.Clone(bias), shapes.Ones(len(o.Kernel))...)
		grads[2] = g.reshape(g.Do(SumTo{Shape: along}, dout), bias...)
	}
	return grads
}

// ConvGradient is the cotangent of the input of a Conv, from the filters and the
// result's cotangent; with Filters, the cotangent of the filters, from the input
// and the result's cotangent.
type ConvGradient struct {
	Conv    Conv
	Filters bool
	Shape   []int // of what it is the cotangent of
}

func (ConvGradient) Name() string { return "ConvGradient" }

func (o ConvGradient) convolution(in []Type) (convolution, error) {
	if len(in) != 2 {
		return convolution{}, fmt.Errorf("expected 2 inputs, found %d", len(in))
	}
	x, filters := in[0].With(o.Shape...), in[0]
	if o.Filters {
		x, filters = filters, x
	}
	return o.Conv.convolution([]Type{x, filters})
}

func (o ConvGradient) sizes(in []Array) convolution {
	var types [2]Type
	return checked(o.convolution(appendTypes(types[:0], in)))
}

func (o ConvGradient) Infer(in []Type) (Type, error) {
	n, err := o.convolution(in)
	if err != nil {
		return Type{}, err
	}
	if want := in[0].With(append([]int{n.images, n.filters}, n.outShape(len(o.Shape))...)...); !in[1].Equal(want) {
		return Type{}, fmt.Errorf("expected a cotangent %v, found %v", want, in[1])
	}
	return in[0].With(o.Shape...), nil
}

func (o ConvGradient) Forward(c *kernel.Context, out Array, in []Array) {
	n := o.sizes(in)
	if _, ok := out.Data.([]float32); ok {
		convolveGrad[float32](c, n, o.Filters, out, in)
	} else {
		convolveGrad[float64](c, n, o.Filters, out, in)
	}
}

func convolveGrad[T kernel.Float](c *kernel.Context, n convolution, filters bool, out Array, in []Array) {
	if filters {
		convolveFilters(c, n, Elem[T](in[0]), Elem[T](in[1]), Elem[T](out))
	} else {
		convolveInput(c, n, Elem[T](in[0]), Elem[T](in[1]), Elem[T](out))
	}
}
