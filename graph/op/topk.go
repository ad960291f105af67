package op

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// TopK gives the places, INT64, of the K largest elements along Axis, the
// largest first (Smallest: the K smallest, the smallest first). Of equal ones
// the first comes first, or with Last the last; NaN counts as largest. Values
// are taken by [GatherElements], which carries the gradient.
type TopK struct {
	Axis, K        int
	Smallest, Last bool
}

func (TopK) Name() string { return "TopK" }

// Infer checks that there are K elements.
func (o TopK) Infer(in []Type) (Type, error) {
	x, err := sameType(in, 1, ClassFloat32, ClassFloat64, ClassInt)
	if err != nil {
		return Type{}, err
	}
	if o.Axis < 0 || o.Axis >= x.Rank() || o.K < 0 || o.K > x.Shape[o.Axis] {
		return Type{}, fmt.Errorf("expected at least %d elements along axis %d, found %v", o.K, o.Axis, x)
	}
	return Type{onnx.Int64, shapes.Replaced(x.Shape, o.Axis, o.K)}, nil
}

// Forward ranks every line along the axis.
func (o TopK) Forward(c *kernel.Context, out Array, in []Array) {
	switch x := in[0].Data.(type) {
	case []float32:
		rank(c, o, in[0].Shape, Elem[int64](out), x)
	case []float64:
		rank(c, o, in[0].Shape, Elem[int64](out), x)
	case []int64:
		rank(c, o, in[0].Shape, Elem[int64](out), x)
	}
}

func rank[T Number](c *kernel.Context, o TopK, shape []int, y []int64, x []T) {
	outer, inner := shapes.Around(shape, o.Axis)
	n := shape[o.Axis]
	if o.K == 0 {
		return
	}
	c.Parallel(outer*inner, kernel.Grain(n), func(lo, hi int) {
		order := make([]int, n)
		for line := lo; line < hi; line++ {
			from := line/inner*n*inner + line%inner
			compare := func(a, b int) int {
				u, v := x[from+a*inner], x[from+b*inner]
				d := cmp.Compare(u, v)
				if u != u || v != v {
					d = -d // cmp counts NaN as smallest
				}
				if !o.Smallest {
					d = -d
				}
				switch {
				case d != 0:
					return d
				case o.Last:
					return b - a
				}
				return a - b
			}
			for i := range order {
				order[i] = i
			}
			if o.K == 1 {
				order[0] = slices.MinFunc(order, compare)
			} else {
				slices.SortFunc(order, compare)
			}
			for k, i := range order[:o.K] {
				y[(line/inner*o.K+k)*inner+line%inner] = int64(i)
			}
		}
	})
}
