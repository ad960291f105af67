package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// Gather takes slices of its first input along Axis, those that the integers of
// the second name; negative ones count from the end. The result has the
// indices' dimensions in the place of Axis.
type Gather struct{ Axis int }

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
	rows := o.rows(c, in[0].Shape, Elem[int64](in[1]))
	defer kernel.Release(c, rows.index)
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

// rows plans a gather; the index is to be released.
func (o Gather) rows(c *kernel.Context, shape []int, indices []int64) gatherPlan {
	outer, inner := shapes.Around(shape, o.Axis)
	p := gatherPlan{outer, shape[o.Axis], inner, kernel.Scratch[int](c, len(indices))}
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
	kernel.Run(c, p.outer*len(p.index), kernel.Grain(p.inner), gathering[T]{p, y, x})
}

type gathering[T Element] struct {
	gatherPlan
	y, x []T
}

func (t *gathering[T]) Chunk(_ *kernel.Context, lo, hi int) {
	n, inner := len(t.index), t.inner
	for r := lo; r < hi; r++ {
		from := (r/n*t.size + t.index[r%n]) * inner
		copy(t.y[r*inner:(r+1)*inner], t.x[from:from+inner])
	}
}

// Gradient adds the cotangent's slices up where they were taken.
func (o Gather) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = g.Do(GatherGradient{o, g.TypeOf(in[0]).Shape}, dout, in[1])
	}
	return grads
}

// GatherGradient is the cotangent of Gather's data, from that of its result and
// the indices.
type GatherGradient struct {
	Gather
	Shape []int
}

func (o GatherGradient) Infer(in []Type) (Type, error) { return in[0].With(o.Shape...), nil }

// Forward works on the outer slices in parallel and within each adds in the
// order of the indices, so that the sums do not depend on the threads.
func (o GatherGradient) Forward(c *kernel.Context, out Array, in []Array) {
	clearArray(c, out)
	rows := o.rows(c, o.Shape, Elem[int64](in[1]))
	defer kernel.Release(c, rows.index)
	if y, ok := out.Data.([]float32); ok {
		scatterRows(c, rows, y, Elem[float32](in[0]))
	} else {
		scatterRows(c, rows, Elem[float64](out), Elem[float64](in[0]))
	}
}

func scatterRows[T kernel.Float](c *kernel.Context, p gatherPlan, y, x []T) {
	kernel.Run(c, p.outer, kernel.Grain(len(p.index)*p.inner), scattering[T]{p, y, x})
}

type scattering[T kernel.Float] struct {
	gatherPlan
	y, x []T
}

func (t *scattering[T]) Chunk(_ *kernel.Context, lo, hi int) {
	n, inner := len(t.index), t.inner
	for outer := lo; outer < hi; outer++ {
		for i, k := range t.index {
			to := t.y[(outer*t.size+k)*inner:][:inner]
			for j, v := range t.x[(outer*n+i)*inner:][:inner] {
				to[j] += v
			}
		}
	}
}

// GatherElements takes single elements: the result has the shape of the
// indices, and its element at (i, j, …) is the data's there, with the index in
// the place of the coordinate along Axis.
type GatherElements struct{ Axis int }

func (GatherElements) Name() string { return "GatherElements" }

// Infer checks that the indices lie within the data outside Axis.
func (o GatherElements) Infer(in []Type) (Type, error) {
	x, index, err := dataAndIndices(in)
	if err != nil {
		return Type{}, err
	}
	fits := x.Rank() == index.Rank() && o.Axis >= 0 && o.Axis < x.Rank()
	for i := range x.Shape {
		fits = fits && (i == o.Axis || index.Shape[i] <= x.Shape[i])
	}
	if !fits {
		return Type{}, fmt.Errorf("expected indices within %v but for axis %d, found %v", x, o.Axis, index)
	}
	return x.With(index.Shape...), nil
}

func (o GatherElements) picks(shape []int, indices Array) (picks, error) {
	p := picks{size: 1}
	strides := shapes.RowMajor(shape)
	at := make([]int, len(shape))
	for _, k := range Elem[int64](indices) {
		index, err := resolveIndex(k, shape[o.Axis])
		if err != nil {
			return picks{}, fmt.Errorf("along axis %d: %w", o.Axis, err)
		}
		first := (index - at[o.Axis]) * strides[o.Axis]
		for i, x := range at {
			first += x * strides[i]
		}
		p.first = append(p.first, first)
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < indices.Shape[i] {
				break
			}
			at[i] = 0
		}
	}
	return p, nil
}

// Forward copies the elements; an index out of range panics.
func (o GatherElements) Forward(c *kernel.Context, out Array, in []Array) {
	forwardPicks(c, o, out, in)
}

// Gradient adds the cotangent up where the elements were taken.
func (o GatherElements) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return gradientOfPicks(g, o, in, dout, need)
}

// GatherND takes slices that the rows of the indices name by their leading
// coordinates, after BatchDims dimensions that data and indices share.
type GatherND struct{ BatchDims int }

func (GatherND) Name() string { return "GatherND" }

// Infer checks that the rows name slices of the data.
func (o GatherND) Infer(in []Type) (Type, error) {
	x, index, err := dataAndIndices(in)
	if err != nil {
		return Type{}, err
	}
	b, last := o.BatchDims, index.Rank()-1
	if b < 0 || b > last || b > x.Rank() || !slices.Equal(x.Shape[:b], index.Shape[:b]) || index.Shape[last] > x.Rank()-b {
		return Type{}, fmt.Errorf("indices %v do not name slices of %v after %d shared dimensions", index, x, b)
	}
	return sized(x.With(slices.Concat(index.Shape[:last], x.Shape[b+index.Shape[last]:])...))
}

func (o GatherND) picks(shape []int, indices Array) (picks, error) {
	last := indices.Rank() - 1
	depth := indices.Shape[last]
	inner := shape[o.BatchDims:]
	p := picks{size: shapes.Elements(inner[depth:])}
	strides := shapes.RowMajor(inner)
	rows := shapes.Elements(indices.Shape[:last])
	perBatch := max(1, shapes.Elements(indices.Shape[o.BatchDims:last]))
	for r := range rows {
		first := r / perBatch * shapes.Elements(inner)
		for i, k := range Elem[int64](indices)[r*depth : (r+1)*depth] {
			index, err := resolveIndex(k, inner[i])
			if err != nil {
				return picks{}, fmt.Errorf("along axis %d: %w", o.BatchDims+i, err)
			}
			first += index * strides[i]
		}
		p.first = append(p.first, first)
	}
	return p, nil
}

// Forward copies the slices; an index out of range panics.
func (o GatherND) Forward(c *kernel.Context, out Array, in []Array) { forwardPicks(c, o, out, in) }

// Gradient adds the cotangent up where the slices were taken.
func (o GatherND) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return gradientOfPicks(g, o, in, dout, need)
}

// picks are stretches of an array that an operation takes, in the order of the
// result: where each begins, and the size of all.
type picks struct {
	first []int
	size  int
}

// Picker is an operation that takes stretches of its first input as its second
// says.
type Picker interface {
	Op
	picks(shape []int, indices Array) (picks, error)
}

// CheckIndices returns an error that names an index outside the data, of the given
// shape, that o takes from.
func CheckIndices(o Picker, shape []int, indices Array) error {
	_, err := o.picks(shape, indices)
	return err
}

func dataAndIndices(in []Type) (x, index Type, err error) {
	if len(in) != 2 || ClassOf(in[1].DType) != ClassInt || in[1].Rank() == 0 {
		return Type{}, Type{}, fmt.Errorf("expected data and integer indices of rank at least 1, found %v", in)
	}
	return in[0], in[1], nil
}

// resolveIndex maps an index in [-size, size) to [0, size).
func resolveIndex(k int64, size int) (int, error) {
	if k < -int64(size) || k >= int64(size) {
		return 0, fmt.Errorf("index %d is outside a dimension of size %d", k, size)
	}
	if k < 0 {
		k += int64(size)
	}
	return int(k), nil
}

// mustPick is picks for indices that are checked already, or that only the run
// knows: those that are out of range then panic.
func mustPick(o Picker, shape []int, indices Array) picks {
	p, err := o.picks(shape, indices)
	if err != nil {
		panic(fmt.Sprintf("op: %s: %v", o.Name(), err))
	}
	return p
}

func forwardPicks(c *kernel.Context, o Picker, out Array, in []Array) {
	p := mustPick(o, in[0].Shape, in[1])
	c.Parallel(len(p.first), kernel.Grain(p.size), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			copyElements(out, i*p.size, in[0], p.first[i], p.size)
		}
	})
}

func gradientOfPicks(g *Graph, o Picker, in []*gorgonia.Node, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = g.Do(pickGradient{o, g.TypeOf(in[0]).Shape}, dout, in[1])
	}
	return grads
}

// pickGradient is the cotangent of a picker's data, of the given shape, from
// that of its result and the indices.
type pickGradient struct {
	Picker
	Shape []int
}

func (o pickGradient) Infer(in []Type) (Type, error) { return in[0].With(o.Shape...), nil }

// Forward adds in the order of the indices, on one thread: a stretch may be
// taken more than once.
func (o pickGradient) Forward(c *kernel.Context, out Array, in []Array) {
	clearArray(c, out)
	p := mustPick(o.Picker, o.Shape, in[1])
	if y, ok := out.Data.([]float32); ok {
		addPicks(p, y, Elem[float32](in[0]))
		return
	}
	addPicks(p, Elem[float64](out), Elem[float64](in[0]))
}

func addPicks[T Number](p picks, y, x []T) {
	for i, first := range p.first {
		to := y[first : first+p.size]
		for j, v := range x[i*p.size : (i+1)*p.size] {
			to[j] += v
		}
	}
}
