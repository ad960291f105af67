package graph

import "github.com/modeldoctor/modeldoctor/graph/op"

// reassociate computes an attention of few queries without keys and values.
// Where those are products y·Wₖ + bₖ and y·Wᵥ + bᵥ of the rows of y, the scores
// of a head's query are
//
//	q·(y·Wₖ + bₖ)ᵀ = (q·Wₖᵀ)·yᵀ + q·bₖ
//
// and the weighted sum of its values is
//
//	p·(y·Wᵥ + bᵥ) = (p·y)·Wᵥ + bᵥ
//
// because the probabilities p add up to 1. Products with the weights then have a
// row for each query and not for each key: of the class token's attention in a
// ViT-B/16 two parts in a hundred are left.
//
// It is no pass of fuse: how many queries there are is known once the rows that
// nobody reads are gone.
func (f *fuser) reassociate(s *op.Step) {
	a, ok := s.Op.(op.PackedAttention)
	if !ok || len(s.In) != 3 || a.Scale == 0 { // an Alpha of 0 means 1
		return
	}
	queries, keys := s.In[0].Type.Shape[1], s.In[1].Type.Shape[1]
	if 2*queries*(a.HeadDim+keys) > keys*a.HeadDim {
		return
	}
	var rows, biases [2]*op.Value // of keys and values
	var weights [2]headMatrices
	for i, v := range s.In[1:] {
		if v.Step == nil || !f.once(v) {
			return
		}
		linear, ok := v.Step.Op.(op.Linear)
		if !ok {
			return
		}
		rows[i], weights[i] = v.Step.In[0], f.matricesOf(linear, v.Step.In[1], a.Heads)
		if len(v.Step.In) == 3 {
			biases[i] = v.Step.In[2]
		}
	}
	h := headRows{f, a.Heads, s.In[0].Type.Shape[0], queries}
	// Where heads come first the examples' rows are one matrix a head, where
	// examples come first the heads' rows are one matrix an example.
	q := f.emit(op.Transpose{Perm: []int{2, 0, 1, 3}}, f.reshape(s.In[0], h.examples, h.queries, h.heads, a.HeadDim))
	q = f.reshape(q, h.heads, h.examples*h.queries, a.HeadDim)
	scores := f.emit(op.MatMul{TransB: true, Alpha: a.Scale}, h.byExample(f.emit(op.MatMul{TransB: !weights[0].transposed}, q, weights[0].Value)), rows[0])
	if biases[0] != nil {
		bias := f.reshape(biases[0], h.heads, a.HeadDim, 1)
		scores = f.emit(op.Add{}, scores, h.byExample(f.emit(op.MatMul{Alpha: a.Scale}, q, bias)))
	}
	means := h.byHead(f.emit(op.MatMul{}, f.emit(op.Softmax{Axis: 2}, scores), rows[1]))
	out := f.reshape(f.emit(op.MatMul{TransB: weights[1].transposed}, means, weights[1].Value), h.heads, h.examples, h.queries, a.HeadDim)
	out = f.emit(op.Transpose{Perm: []int{1, 2, 0, 3}}, out)
	if biases[1] == nil {
		f.replace(s.Out, op.Reshape{Shape: s.Out.Type.Shape}, out)
		return
	}
	f.replace(s.Out, op.Add{}, f.reshape(out, s.Out.Type.Shape...), biases[1])
}

// headMatrices are the weight of a Linear as a matrix [in, HeadDim] for each head,
// or [HeadDim, in] where transposed.
type headMatrices struct {
	*op.Value
	transposed bool
}

func (f *fuser) matricesOf(linear op.Linear, w *op.Value, heads int) headMatrices {
	rows, columns := w.Type.Shape[0], w.Type.Shape[1]
	if linear.TransW {
		return headMatrices{f.reshape(w, heads, rows/heads, columns), true}
	}
	return headMatrices{f.emit(op.Transpose{Perm: []int{1, 0, 2}}, f.reshape(w, rows, heads, columns/heads)), false}
}

// headRows orders rows of which there is one for each head, example and query.
type headRows struct {
	*fuser
	heads, examples, queries int
}

// byExample brings rows [heads, examples·queries, n] to [examples, heads·queries, n].
func (h headRows) byExample(v *op.Value) *op.Value {
	n := v.Type.Shape[2]
	v = h.emit(op.Transpose{Perm: []int{1, 0, 2, 3}}, h.reshape(v, h.heads, h.examples, h.queries, n))
	return h.reshape(v, h.examples, h.heads*h.queries, n)
}

// byHead is the inverse of byExample.
func (h headRows) byHead(v *op.Value) *op.Value {
	n := v.Type.Shape[2]
	v = h.emit(op.Transpose{Perm: []int{1, 0, 2, 3}}, h.reshape(v, h.examples, h.heads, h.queries, n))
	return h.reshape(v, h.heads, h.examples*h.queries, n)
}
