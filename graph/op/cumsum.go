package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// CumSum adds up along Axis: each element of the result is the sum of the
// input's up to and including it (without it, if Exclusive), from the end if
// Reverse.
type CumSum struct {
	Axis               int
	Exclusive, Reverse bool
}

func (CumSum) Name() string { return "CumSum" }

// Infer checks the axis.
func (o CumSum) Infer(in []Type) (Type, error) {
	x, err := sameType(in, 1, ClassFloat32, ClassFloat64, ClassInt)
	if err != nil {
		return Type{}, err
	}
	if o.Axis < 0 || o.Axis >= x.Rank() {
		return Type{}, fmt.Errorf("axis %d is outside %v", o.Axis, x)
	}
	return x, nil
}

// Forward adds in order along the axis.
func (o CumSum) Forward(c *kernel.Context, out Array, in []Array) {
	switch y := out.Data.(type) {
	case []float32:
		cumSum(c, o, out.Shape, y, Elem[float32](in[0]))
	case []float64:
		cumSum(c, o, out.Shape, y, Elem[float64](in[0]))
	case []int64:
		cumSum(c, o, out.Shape, y, Elem[int64](in[0]))
		Wrap(out.DType, y)
	}
}

func cumSum[T Number](c *kernel.Context, o CumSum, shape []int, y, x []T) {
	outer, inner := shapes.Around(shape, o.Axis)
	n := shape[o.Axis]
	c.Parallel(outer*inner, kernel.Grain(n), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			at, step := r/inner*n*inner+r%inner, inner
			if o.Reverse {
				at, step = at+(n-1)*inner, -inner
			}
			var sum T
			for range n {
				v := x[at]
				if o.Exclusive {
					y[at] = sum
				}
				sum += v
				if !o.Exclusive {
					y[at] = sum
				}
				at += step
			}
		}
	})
}

// Gradient adds the cotangent up from the other end.
func (o CumSum) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	o.Reverse = !o.Reverse
	return []*gorgonia.Node{g.Do(o, dout)}
}
