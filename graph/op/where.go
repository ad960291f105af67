package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Where takes three inputs, a BOOL condition and two of one element type, and
// broadcasts them: the second where the condition holds, else the third.
type Where struct{}

// Name returns "Where".
func (Where) Name() string { return "Where" }

// Infer broadcasts the three inputs.
func (Where) Infer(in []Type) (Type, error) {
	if len(in) != 3 {
		return Type{}, fmt.Errorf("expected 3 inputs, found %d", len(in))
	}
	if in[0].DType != onnx.Bool {
		return Type{}, fmt.Errorf("expected a BOOL condition, found %v", in[0])
	}
	t, err := sameType(in[1:], 2, ClassFloat32, ClassFloat64, ClassInt, ClassBool)
	if err != nil {
		return Type{}, err
	}
	shape, err := broadcastShape(in[0].Shape, in[1].Shape, in[2].Shape)
	return t.With(shape...), err
}

// Forward selects.
func (Where) Forward(c *kernel.Context, out Array, in []Array) {
	switch out.Data.(type) {
	case []float32:
		where[float32](c, out, in)
	case []float64:
		where[float64](c, out, in)
	case []int64:
		where[int64](c, out, in)
	default:
		where[bool](c, out, in)
	}
}

func where[T Element](c *kernel.Context, out Array, in []Array) {
	condition, a, b, y := Elem[bool](in[0]), Elem[T](in[1]), Elem[T](in[2]), Elem[T](out)
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape, in[2].Shape)
	sc, sa, sb := l.inner(0), l.inner(1), l.inner(2)
	c.Parallel(len(y), pointwiseGrain, func(lo, hi int) {
		l.rows(lo, hi, func(at, n int, offset []int) {
			ic, ia, ib := offset[0], offset[1], offset[2]
			for i := range y[at : at+n] {
				if condition[ic] {
					y[at+i] = a[ia]
				} else {
					y[at+i] = b[ib]
				}
				ic, ia, ib = ic+sc, ia+sa, ib+sb
			}
		})
	})
}

// Gradient passes the cotangent to the input that was selected.
func (Where) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return append([]*gorgonia.Node{nil}, gradientOfChoice(g, in[1:], dout, need[1:], in[0])...)
}

// Mask takes a BOOL condition and a float array, to whose shape the condition
// broadcasts: the array where the condition holds (with Not: where it does
// not), else 0. Gradients of selections are made of it.
type Mask struct{ Not bool }

// Name returns "Mask".
func (Mask) Name() string { return "Mask" }

// Infer returns the type of the second input.
func (Mask) Infer(in []Type) (Type, error) {
	if len(in) != 2 || in[0].DType != onnx.Bool {
		return Type{}, fmt.Errorf("expected a BOOL condition and an array, found %v", in)
	}
	t, err := sameType(in[1:], 1, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	shape, err := broadcastShape(in[0].Shape, t.Shape)
	if err == nil && len(shape) != len(t.Shape) || elements(shape) != t.Elements() {
		err = fmt.Errorf("condition %v does not broadcast to %v", in[0], t)
	}
	return t, err
}

// Forward masks.
func (o Mask) Forward(c *kernel.Context, out Array, in []Array) {
	switch out.Data.(type) {
	case []float32:
		mask[float32](c, o.Not, out, in)
	case []float64:
		mask[float64](c, o.Not, out, in)
	}
}

func mask[T kernel.Float](c *kernel.Context, not bool, out Array, in []Array) {
	condition, x, y := Elem[bool](in[0]), Elem[T](in[1]), Elem[T](out)
	l := newLoops(out.Shape, in[0].Shape)
	step := l.inner(0)
	c.Parallel(len(y), pointwiseGrain, func(lo, hi int) {
		l.rows(lo, hi, func(at, n int, offset []int) {
			j := offset[0]
			for i := at; i < at+n; i++ {
				if condition[j] != not {
					y[i] = x[i]
				} else {
					y[i] = 0
				}
				j += step
			}
		})
	})
}
