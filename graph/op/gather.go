package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Gather takes slices of its first input along Axis, those that the integers of
// the second name; negative ones count from the end. The result has the
// indices' dimensions in the place of Axis.
type Gather struct{ Axis int }

// Name returns "Gather".
func (Gather) Name() string { return "Gather" }

// Infer checks the axis and the type of the indices.
func (o Gather) Infer(in []Type) (Type, error) {
	if len(in) != 2 || ClassOf(in[1].DType) != ClassInt {
		return Type{}, fmt.Errorf("expected data and integer indices, found %v", in)
	}
	x, index := in[0], in[1]
	if o.Axis >= x.Rank() {
		return Type{}, fmt.Errorf("axis %d of a tensor of rank %d", o.Axis, x.Rank())
	}
	return sized(x.With(slices.Concat(x.Shape[:o.Axis], index.Shape, x.Shape[o.Axis+1:])...))
}

// Forward copies the slices. An index out of range panics; those that are
// known when the graph is read have been checked.
func (o Gather) Forward(c *kernel.Context, out Array, in []Array) {
	rows := o.rows(in[0].Shape, Elem[int64](in[1]))
	switch y := out.Data.(type) {
	case []float32:
		gatherRows(c, rows, y, Elem[float32](in[0]))
	case []float64:
		gatherRows(c, rows, y, Elem[float64](in[0]))
	case []int64:
		gatherRows(c, rows, y, Elem[int64](in[0]))
	case []bool:
		gatherRows(c, rows, y, Elem[bool](in[0]))
	}
}

// gatherPlan is data as [outer, size, inner] and the slices taken of it.
type gatherPlan struct {
	outer, size, inner int
	index              []int
}

func (o Gather) rows(shape []int, indices []int64) gatherPlan {
	outer, inner := around(shape, o.Axis)
	p := gatherPlan{outer, shape[o.Axis], inner, make([]int, len(indices))}
	for i, k := range indices {
		if k < 0 {
			k += int64(p.size)
		}
		if k < 0 || k >= int64(p.size) {
			panic(fmt.Sprintf("op: Gather: index %d of a dimension of size %d", indices[i], p.size))
		}
		p.index[i] = int(k)
	}
	return p
}

func gatherRows[T Element](c *kernel.Context, p gatherPlan, y, x []T) {
	n := len(p.index)
	c.Parallel(p.outer*n, max(1, copyGrain/max(1, p.inner)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			from := (r/n*p.size + p.index[r%n]) * p.inner
			copy(y[r*p.inner:(r+1)*p.inner], x[from:from+p.inner])
		}
	})
}

// Gradient adds the cotangent's slices up where they were taken.
func (o Gather) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = g.Do(gatherGradient{o, g.TypeOf(in[0]).Shape}, dout, in[1])
	}
	return grads
}

// gatherGradient is the cotangent of Gather's data, from that of its result and
// the indices.
type gatherGradient struct {
	Gather
	Shape []int
}

func (o gatherGradient) Infer(in []Type) (Type, error) { return in[0].With(o.Shape...), nil }

// Forward works on the outer slices in parallel and within each adds in the
// order of the indices, so that the sums do not depend on the threads.
func (o gatherGradient) Forward(c *kernel.Context, out Array, in []Array) {
	clearArray(c, out)
	rows := o.rows(o.Shape, Elem[int64](in[1]))
	if y, ok := out.Data.([]float32); ok {
		scatterRows(c, rows, y, Elem[float32](in[0]))
	} else {
		scatterRows(c, rows, Elem[float64](out), Elem[float64](in[0]))
	}
}

func scatterRows[T kernel.Float](c *kernel.Context, p gatherPlan, y, x []T) {
	n := len(p.index)
	c.Parallel(p.outer, max(1, copyGrain/max(1, n*p.inner)), func(lo, hi int) {
		for outer := lo; outer < hi; outer++ {
			for i, k := range p.index {
				to := y[(outer*p.size+k)*p.inner:][:p.inner]
				for j, v := range x[(outer*n+i)*p.inner:][:p.inner] {
					to[j] += v
				}
			}
		}
	})
}

func gatherEntries() []Entry {
	return []Entry{
		{Name: "Gather", Min: 1, Max: MaxOpset, Lower: lowerGather},
	}
}

func lowerGather(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	index, err := c.Need(1)
	if err != nil {
		return nil, err
	}
	axis, err := resolveAxis(c.Node.Int("axis", 0), x.Type.Rank())
	if err != nil {
		return nil, err
	}
	return one(c.gather(x, index, axis))
}

// gather emits a Gather; indices that are known must lie within x.
func (p *Program) gather(x, index *Value, axis int) (*Value, error) {
	if index.Const != nil && axis < x.Type.Rank() {
		if ints, ok := index.Const.AsInts(); ok {
			for _, k := range ints {
				if d := int64(x.Type.Shape[axis]); k < -d || k >= d {
					return nil, fmt.Errorf("index %d of dimension %d of %v", k, axis, x.Type)
				}
			}
		}
	}
	return p.Emit(Gather{axis}, x, index)
}
