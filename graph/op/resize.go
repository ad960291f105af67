package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// Tap is one term of a row of a sparse matrix: a column and its weight.
type Tap struct {
	Index  int
	Weight float64
}

// LinearMap multiplies by a sparse matrix along Axis: element i of the result
// is the sum of Rows[i] over the input's Columns elements. Interpolation is
// such a map, and its gradient is the transposed one.
type LinearMap struct {
	Axis    int
	Columns int
	Rows    [][]Tap
}

func (LinearMap) Name() string { return "LinearMap" }

// Infer checks that the input has the map's columns.
func (o LinearMap) Infer(in []Type) (Type, error) {
	x, err := sameType(in, 1, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	if o.Axis < 0 || o.Axis >= x.Rank() || x.Shape[o.Axis] != o.Columns {
		return Type{}, fmt.Errorf("expected size %d along axis %d, found %v", o.Columns, o.Axis, x)
	}
	return sized(x.With(shapes.Replaced(x.Shape, o.Axis, len(o.Rows))...))
}

// Forward adds the taps of each row in their order.
func (o LinearMap) Forward(c *kernel.Context, out Array, in []Array) {
	if y, ok := out.Data.([]float32); ok {
		applyMap(c, o, in[0].Shape, y, Elem[float32](in[0]))
		return
	}
	applyMap(c, o, in[0].Shape, Elem[float64](out), Elem[float64](in[0]))
}

func applyMap[T kernel.Float](c *kernel.Context, o LinearMap, shape []int, y, x []T) {
	outer, inner := shapes.Around(shape, o.Axis)
	n := len(o.Rows)
	c.Parallel(outer*n, kernel.Grain(inner), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			to := y[r*inner : (r+1)*inner]
			clear(to)
			for _, tap := range o.Rows[r%n] {
				w := T(tap.Weight)
				from := x[(r/n*o.Columns+tap.Index)*inner:][:inner]
				for j, v := range from {
					to[j] += w * v
				}
			}
		}
	})
}

// Gradient applies the transposed map.
func (o LinearMap) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	transposed := make([][]Tap, o.Columns)
	for i, row := range o.Rows {
		for _, tap := range row {
			transposed[tap.Index] = append(transposed[tap.Index], Tap{i, tap.Weight})
		}
	}
	return []*gorgonia.Node{g.Do(LinearMap{o.Axis, len(o.Rows), transposed}, dout)}
}
