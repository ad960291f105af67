package op

import (
	"fmt"
	"slices"

	"modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// ScatterND is its first input with slices replaced: the rows of the second
// input (integers) name them, the third holds the new values.
type ScatterND struct{}

// Name returns "ScatterND".
func (ScatterND) Name() string { return "ScatterND" }

// Infer checks that the updates fit the slices that the indices name.
func (ScatterND) Infer(in []Type) (Type, error) {
	if len(in) != 3 || ClassOf(in[1].DType) != ClassInt || in[2].DType != in[0].DType {
		return Type{}, fmt.Errorf("expected data, integer indices and updates of the data's type, found %v", in)
	}
	data, index := in[0], in[1]
	if index.Rank() == 0 || index.Shape[index.Rank()-1] > data.Rank() {
		return Type{}, fmt.Errorf("indices %v do not name slices of %v", index, data)
	}
	depth := index.Shape[index.Rank()-1]
	if want := slices.Concat(index.Shape[:index.Rank()-1], data.Shape[depth:]); !slices.Equal(in[2].Shape, want) {
		return Type{}, fmt.Errorf("expected updates of shape %v, found %v", want, in[2].Shape)
	}
	return data, nil
}

// Forward copies the data, then the updates in order: the last one wins.
func (ScatterND) Forward(c *kernel.Context, out Array, in []Array) {
	whole := placement{strides: rowMajor(out.Shape)}
	copyStrided(c, out.Shape, out, whole, in[0], whole)
	forSlices(in[0].Shape, in[1], func(i, at, size int) { copyElements(out, at, in[2], i*size, size) })
}

// forSlices calls f for each slice that indices name: its number, its first
// element and its size.
func forSlices(shape []int, indices Array, f func(i, at, size int)) {
	depth := indices.Shape[indices.Rank()-1]
	size := elements(shape[depth:])
	strides := rowMajor(shape)
	rows := Elem[int64](indices)
	for i := range elements(indices.Shape[:indices.Rank()-1]) {
		at := 0
		for k, x := range rows[i*depth : (i+1)*depth] {
			if x < 0 {
				x += int64(shape[k])
			}
			if x < 0 || x >= int64(shape[k]) {
				panic(fmt.Sprintf("op: ScatterND: index %v in a tensor of shape %v", rows[i*depth:(i+1)*depth], shape))
			}
			at += int(x) * strides[k]
		}
		f(i, at, size)
	}
}

// copyElements copies n adjacent elements.
func copyElements(dst Array, to int, src Array, from, n int) {
	switch d := dst.Data.(type) {
	case []float32:
		copy(d[to:to+n], Elem[float32](src)[from:])
	case []float64:
		copy(d[to:to+n], Elem[float64](src)[from:])
	case []int64:
		copy(d[to:to+n], Elem[int64](src)[from:])
	case []bool:
		copy(d[to:to+n], Elem[bool](src)[from:])
	}
}

// Gradient passes the cotangent to the data where they were kept and to the
// updates where they were put. Slices that are named twice belong to the last.
func (ScatterND) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 3)
	if need[0] {
		grads[0] = g.Do(scatterGradient{ofUpdates: false, t: g.TypeOf(in[0])}, dout, in[1])
	}
	if need[2] {
		grads[2] = g.Do(scatterGradient{ofUpdates: true, t: g.TypeOf(in[2])}, dout, in[1])
	}
	return grads
}

// scatterGradient is the cotangent, of type t, of ScatterND's data or updates.
type scatterGradient struct {
	ofUpdates bool
	t         Type
}

func (scatterGradient) Name() string { return "ScatterND" }

func (o scatterGradient) Infer([]Type) (Type, error) { return o.t, nil }

func (o scatterGradient) Forward(c *kernel.Context, out Array, in []Array) {
	dout, indices := in[0], in[1]
	if !o.ofUpdates {
		whole := placement{strides: rowMajor(out.Shape)}
		copyStrided(c, out.Shape, out, whole, dout, whole)
		forSlices(dout.Shape, indices, func(_, at, size int) { clearElements(out, at, size) })
		return
	}
	clearArray(c, out)
	winner := map[int]int{} // the last update of each slice
	forSlices(dout.Shape, indices, func(i, at, _ int) { winner[at] = i })
	forSlices(dout.Shape, indices, func(i, at, size int) {
		if winner[at] == i {
			copyElements(out, i*size, dout, at, size)
		}
	})
}

func clearElements(a Array, at, n int) {
	if d, ok := a.Data.([]float32); ok {
		clear(d[at : at+n])
		return
	}
	clear(Elem[float64](a)[at : at+n])
}

func lowerScatterND(c *Call) ([]*Value, error) {
	if r := c.Node.Str("reduction", "none"); r != "none" {
		return nil, fmt.Errorf("reduction %q is not supported", r)
	}
	in := make([]*Value, 3)
	for i := range in {
		var err error
		if in[i], err = c.Need(i); err != nil {
			return nil, err
		}
	}
	if in[1].Const == nil {
		return nil, fmt.Errorf("indices (input 1) must be known when the graph is read")
	}
	if t, err := (ScatterND{}).Infer([]Type{in[0].Type, in[1].Type, in[2].Type}); err != nil {
		return nil, err
	} else if rows, ok := in[1].Const.AsInts(); ok {
		depth := in[1].Type.Shape[in[1].Type.Rank()-1]
		for i, x := range rows {
			if d := int64(t.Shape[i%depth]); x < -d || x >= d {
				return nil, fmt.Errorf("index %d of dimension %d of %v", x, i%depth, t)
			}
		}
	}
	return one(c.Emit(ScatterND{}, in...))
}
