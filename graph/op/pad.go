package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// PadMode says what fills the elements that Pad adds.
type PadMode string

// The modes of ONNX's Pad: one value, the element at the border, the elements
// mirrored at the border one, the elements from the other end.
const (
	PadConstant PadMode = "constant"
	PadEdge     PadMode = "edge"
	PadReflect  PadMode = "reflect"
	PadWrap     PadMode = "wrap"
)

// Pad adds elements before and after each dimension, or removes some where a
// number is negative.
type Pad struct {
	Before, After []int // per dimension
	Mode          PadMode
	Value         float64 // of PadConstant
}

func (Pad) Name() string { return "Pad" }

// Infer checks that every added element has a source.
func (o Pad) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	if len(o.Before) != x.Rank() || len(o.After) != x.Rank() {
		return Type{}, fmt.Errorf("expected pads for %d dimensions, found %v and %v", x.Rank(), o.Before, o.After)
	}
	shape := make([]int, x.Rank())
	for i, d := range x.Shape {
		shape[i] = d + o.Before[i] + o.After[i]
		widest := max(o.Before[i], o.After[i])
		if widest > 0 && (o.Mode != PadConstant && d == 0 || o.Mode == PadReflect && widest >= d || o.Mode == PadWrap && widest > d) {
			return Type{}, fmt.Errorf("%s padding of %d and %d is too wide for size %d", o.Mode, o.Before[i], o.After[i], d)
		}
	}
	return sized(x.With(shape...))
}

// source returns, for each index of an output dimension, that of the input, or
// -1 for the constant.
func (o Pad) source(axis, size int) []int {
	index := make([]int, size+o.Before[axis]+o.After[axis])
	for j := range index {
		i := j - o.Before[axis]
		if i < 0 || i >= size {
			switch o.Mode {
			case PadEdge:
				i = max(0, min(size-1, i))
			case PadReflect:
				if i < 0 {
					i = -i
				} else {
					i = 2*(size-1) - i
				}
			case PadWrap:
				i = (i + size) % size
			default:
				i = -1
			}
		}
		index[j] = i
	}
	return index
}

// Forward copies each row from its source.
func (o Pad) Forward(_ *kernel.Context, out Array, in []Array) {
	switch y := out.Data.(type) {
	case []float32:
		o.rows(in[0].Shape, out.Shape, func(to, from int) { y[to] = valueAt(Elem[float32](in[0]), from, float32(o.Value)) })
	case []float64:
		o.rows(in[0].Shape, out.Shape, func(to, from int) { y[to] = valueAt(Elem[float64](in[0]), from, o.Value) })
	case []int64:
		o.rows(in[0].Shape, out.Shape, func(to, from int) { y[to] = valueAt(Elem[int64](in[0]), from, int64(o.Value)) })
	case []bool:
		o.rows(in[0].Shape, out.Shape, func(to, from int) { y[to] = valueAt(Elem[bool](in[0]), from, o.Value != 0) })
	}
}

func valueAt[T Element](x []T, i int, otherwise T) T {
	if i < 0 {
		return otherwise
	}
	return x[i]
}

// rows calls f for each output element with its source, -1 for none.
func (o Pad) rows(in, out []int, f func(to, from int)) {
	sources := make([][]int, len(in))
	for i, d := range in {
		sources[i] = o.source(i, d)
	}
	strides := shapes.RowMajor(in)
	to := 0
	var walk func(axis, from int)
	walk = func(axis, from int) {
		if axis == len(in) {
			f(to, from)
			to++
			return
		}
		for _, i := range sources[axis] {
			if from < 0 || i < 0 {
				walk(axis+1, -1)
			} else {
				walk(axis+1, from+i*strides[axis])
			}
		}
	}
	walk(0, 0)
}

// Gradient adds the cotangent up at the sources.
func (o Pad) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(PadGradient{o, g.TypeOf(in[0])}, dout)}
}

// PadGradient is the cotangent of the input of Pad, from that of the result.
type PadGradient struct {
	Pad
	Input Type
}

func (o PadGradient) Infer([]Type) (Type, error) { return o.Input, nil }

func (o PadGradient) Forward(c *kernel.Context, out Array, in []Array) {
	clearArray(c, out)
	if y, ok := out.Data.([]float32); ok {
		x := Elem[float32](in[0])
		o.rows(out.Shape, in[0].Shape, func(from, to int) {
			if to >= 0 {
				y[to] += x[from]
			}
		})
		return
	}
	y, x := Elem[float64](out), Elem[float64](in[0])
	o.rows(out.Shape, in[0].Shape, func(from, to int) {
		if to >= 0 {
			y[to] += x[from]
		}
	})
}
