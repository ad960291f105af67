package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// layout describes how the elements of a value are read from a source that it
// is a rearrangement of. Each dimension is a list of factors, outermost first:
// the dimension's index, written in mixed radix over the factors' sizes, picks
// one element per factor. A Reshape that merges dimensions which are not
// adjacent in memory, only for a later one to split them again, is therefore
// followed exactly, at a cost that does not grow with the tensors.
type layout struct {
	source *op.Value
	offset int
	dims   [][]factor
}

type factor struct{ size, stride int }

// contiguous is the layout of a value that is read as it stands.
func contiguous(v *op.Value) layout {
	l := layout{source: v, dims: make([][]factor, v.Type.Rank())}
	stride := 1
	for i := v.Type.Rank() - 1; i >= 0; i-- {
		l.dims[i] = []factor{{v.Type.Shape[i], stride}}
		stride *= v.Type.Shape[i]
	}
	return l
}

// apply follows one layout operation; ok is false where the result is no longer
// a rearrangement that can be described.
func (l layout) apply(s *op.Step) (out layout, ok bool) {
	switch o := s.Op.(type) {
	case op.Transpose:
		out = layout{l.source, l.offset, make([][]factor, len(l.dims))}
		for i, p := range o.Perm {
			out.dims[i] = l.dims[p]
		}
		return out, true
	case op.Slice:
		return l.slice(o)
	case op.Gather:
		return l.gather(o, s.In[1])
	case op.Reshape:
		return l.reshape(s.Out.Type.Shape)
	}
	return layout{}, false
}

// reshape regroups the factors, splitting one where a new dimension ends inside
// it.
func (l layout) reshape(shape []int) (layout, bool) {
	var pool []factor
	for _, d := range l.dims {
		for _, f := range d {
			if f.size != 1 {
				pool = append(pool, f)
			}
		}
	}
	out := layout{l.source, l.offset, make([][]factor, len(shape))}
	for i, size := range shape {
		for size > 1 {
			if len(pool) == 0 {
				return layout{}, false
			}
			f := pool[0]
			switch {
			case size%f.size == 0:
				out.dims[i] = append(out.dims[i], f)
				size /= f.size
				pool = pool[1:]
			case f.size%size == 0:
				inner := f.size / size
				out.dims[i] = append(out.dims[i], factor{size, f.stride * inner})
				pool[0] = factor{inner, f.stride}
				size = 1
			default:
				return layout{}, false
			}
		}
		if size != 1 {
			return layout{}, false
		}
	}
	return out, len(pool) == 0
}

func (l layout) slice(o op.Slice) (layout, bool) {
	out := layout{l.source, l.offset, slices.Clone(l.dims)}
	for i, size := range o.Sizes {
		if size == dimSize(l.dims[i]) && o.Starts[i] == 0 && o.Steps[i] == 1 {
			continue
		}
		if len(l.dims[i]) != 1 {
			return layout{}, false
		}
		f := l.dims[i][0]
		out.offset += o.Starts[i] * f.stride
		out.dims[i] = []factor{{size, f.stride * o.Steps[i]}}
	}
	return out, true
}

// gather follows a Gather of one known index, which drops or keeps its
// dimension.
func (l layout) gather(o op.Gather, index *op.Value) (layout, bool) {
	if index.Const == nil || index.Type.Elements() != 1 || len(l.dims[o.Axis]) != 1 {
		return layout{}, false
	}
	ints, ok := index.Const.AsInts()
	if !ok {
		return layout{}, false
	}
	f := l.dims[o.Axis][0]
	k := int(ints[0])
	if k < 0 {
		k += f.size
	}
	out := layout{l.source, l.offset + k*f.stride, nil}
	out.dims = append(out.dims, l.dims[:o.Axis]...)
	for range index.Type.Shape {
		out.dims = append(out.dims, nil)
	}
	out.dims = append(out.dims, l.dims[o.Axis+1:]...)
	return out, true
}

func dimSize(d []factor) int {
	n := 1
	for _, f := range d {
		n *= f.size
	}
	return n
}

// merged returns the factors of a run of dimensions with those that are
// adjacent in memory joined.
func merged(dims ...[]factor) []factor {
	var out []factor
	for _, d := range dims {
		for _, f := range d {
			if f.size == 1 {
				continue
			}
			if k := len(out) - 1; k >= 0 && out[k].stride == f.size*f.stride {
				out[k] = factor{out[k].size * f.size, f.stride}
				continue
			}
			out = append(out, f)
		}
	}
	return out
}

// identity reports whether the layout reads all of its source in order.
func (l layout) identity() bool {
	m := merged(l.dims...)
	total := l.source.Type.Elements()
	return l.offset == 0 && (total == 1 && len(m) == 0 || len(m) == 1 && m[0] == factor{total, 1})
}

// isLayout reports whether a step only rearranges or selects elements.
func isLayout(s *op.Step) bool {
	switch s.Op.(type) {
	case op.Transpose, op.Slice, op.Reshape:
		return true
	case op.Gather:
		return s.In[1].Const != nil && s.In[1].Type.Elements() == 1
	}
	return false
}

func isReshape(s *op.Step) bool {
	_, ok := s.Op.(op.Reshape)
	return ok
}

// isBijective reports whether a step rearranges elements and keeps them all. A
// Relabel, though a view, is none: it changes their type.
func isBijective(s *op.Step) bool {
	switch s.Op.(type) {
	case op.Transpose, op.Reshape:
		return true
	}
	return false
}
