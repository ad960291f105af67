package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Slice takes Sizes[i] elements along every axis i, beginning at Starts[i], in
// steps of Steps[i], which may be negative. All three have one entry per
// dimension of the input.
type Slice struct{ Starts, Sizes, Steps []int }

func (Slice) Name() string { return "Slice" }

// Infer checks that every element taken exists.
func (o Slice) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	if err := o.fits(x.Shape); err != nil {
		return Type{}, err
	}
	return x.With(o.Sizes...), nil
}

// fits checks the slice against the shape of what it is taken from.
func (o Slice) fits(shape []int) error {
	if len(o.Starts) != len(shape) || len(o.Sizes) != len(shape) || len(o.Steps) != len(shape) {
		return fmt.Errorf("expected bounds for the %d dimensions of %v, found starts %v, sizes %v, steps %v", len(shape), shape, o.Starts, o.Sizes, o.Steps)
	}
	for i, d := range shape {
		first := o.Starts[i]
		last := first + (o.Sizes[i]-1)*o.Steps[i]
		if o.Sizes[i] < 0 || o.Sizes[i] > 0 && (min(first, last) < 0 || max(first, last) >= d) {
			return fmt.Errorf("%d elements from %d in steps of %d lie outside axis %d of %v", o.Sizes[i], first, o.Steps[i], i, shape)
		}
	}
	return nil
}

// within returns where the slice's elements lie in an array of the shape.
func (o Slice) within(shape []int) placement {
	p := contiguous(shape)
	for i := range shape {
		p.offset += o.Starts[i] * p.strides.at[i]
		p.strides.at[i] *= o.Steps[i]
	}
	return p
}

// Forward copies the slice.
func (o Slice) Forward(c *kernel.Context, out Array, in []Array) {
	copyStrided(c, o.Sizes, out, contiguous(o.Sizes), in[0], o.within(in[0].Shape))
}

// Gradient places the cotangent in zeros.
func (o Slice) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(Place{o, g.TypeOf(in[0]).Shape}, dout)}
}

// Place puts its input at a slice of an array of zeros of the given shape: the
// transposed map of a Slice.
type Place struct {
	At    Slice
	Shape []int
}

func (Place) Name() string { return "Place" }

// Infer checks that the input has the slice's sizes.
func (o Place) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	if !slices.Equal(x.Shape, o.At.Sizes) {
		return Type{}, fmt.Errorf("expected an input of shape %v, found %v", o.At.Sizes, x)
	}
	if err := o.At.fits(o.Shape); err != nil {
		return Type{}, err
	}
	return x.With(o.Shape...), nil
}

// Forward clears the result and copies the input into it.
func (o Place) Forward(c *kernel.Context, out Array, in []Array) {
	clearArray(c, out)
	copyStrided(c, o.At.Sizes, out, o.At.within(o.Shape), in[0], contiguous(o.At.Sizes))
}

// WholeSlice returns the slice that takes everything.
func WholeSlice(shape []int) Slice {
	o := Slice{make([]int, len(shape)), slices.Clone(shape), make([]int, len(shape))}
	for i := range o.Steps {
		o.Steps[i] = 1
	}
	return o
}
