package op

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
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

// Name returns "TopK".
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
	return Type{onnx.Int64, replaced(x.Shape, o.Axis, o.K)}, nil
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
	outer, inner := around(shape, o.Axis)
	n := shape[o.Axis]
	if o.K == 0 {
		return
	}
	c.Parallel(outer*inner, max(1, copyGrain/max(1, n)), func(lo, hi int) {
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

func rankEntries() []Entry {
	return []Entry{
		{Name: "ArgMax", Min: 1, Max: MaxOpset, Lower: lowerArg(false)},
		{Name: "ArgMin", Min: 1, Max: MaxOpset, Lower: lowerArg(true)},
		{Name: "TopK", Min: 1, Max: MaxOpset, Lower: lowerTopK},
	}
}

func lowerArg(smallest bool) Lowering {
	return func(c *Call) ([]*Value, error) {
		x, axis, err := c.along(0)
		if err != nil {
			return nil, err
		}
		y, err := c.Emit(TopK{Axis: axis, K: 1, Smallest: smallest, Last: c.Node.Int("select_last_index", 0) != 0}, x)
		if err != nil || c.Node.Int("keepdims", 1) != 0 {
			return one(y, err)
		}
		return one(c.reshape(y, without(y.Type.Shape, axis)...))
	}
}

// lowerTopK: k is an attribute before opset 10. Results are sorted even where
// the node leaves their order open.
func lowerTopK(c *Call) ([]*Value, error) {
	x, axis, err := c.along(-1)
	if err != nil {
		return nil, err
	}
	k := []int64{c.Node.Int("k", -1)}
	if !c.Node.Has("k") {
		if k, err = c.KnownInts(1, "k"); err != nil {
			return nil, err
		}
	}
	sizes, err := toSizes(k)
	if err != nil || len(sizes) != 1 {
		return nil, fmt.Errorf("expected one k, found %v", k)
	}
	e := &emitter{Call: c}
	places := e.emit(TopK{Axis: axis, K: sizes[0], Smallest: c.Node.Int("largest", 1) == 0}, x)
	return []*Value{e.emit(GatherElements{axis}, x, places), places}, e.err
}
