package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// fuseAttention replaces softmax(c·QKᵀ)·V by one Op. It is anchored at the
// second product and reads query, key and value wherever the exporter took them
// from: they are followed back through rearrangements and scalings to the value
// they are parts of. When all three are column blocks of one value the fused Op
// reads that value in place; else each is brought to [batch, tokens, features],
// by a Reshape where it already is in that order.
//
// The result is written as the rearrangement of the fused Op's output that the
// product had; simplifyLayout then cancels it against the exporter's own.
func (f *fuser) fuseAttention(s *op.Step) {
	if _, ok := s.Op.(op.MatMul); !ok || !plainProduct(s) {
		return
	}
	product, scale, ok := f.scaledProduct(f.pastNeutral(s.In[0]))
	if !ok {
		return
	}
	q, ok := f.operand(product.In[0], false)
	if !ok {
		return
	}
	k, ok := f.operand(product.In[1], !product.Op.(op.MatMul).TransB)
	if !ok {
		return
	}
	v, ok := f.operand(s.In[1], false)
	if !ok {
		return
	}
	shape := s.Out.Type.Shape
	if len(shape) < 3 || q.batch != k.batch || q.batch != v.batch || k.tokens != v.tokens || q.width != k.width || q.width != v.width {
		return
	}
	if v.scale != 1 {
		return // a scaled value is not seen in practice: leave it to the plain Ops
	}
	images := q.images(f.batch)
	if images == 0 {
		return
	}
	heads := q.batch / images
	a := op.PackedAttention{Heads: heads, HeadDim: q.width}
	var in []*op.Value
	qo, qs, q3 := q.columns(images, heads)
	ko, ks, k3 := k.columns(images, heads)
	vo, vs, v3 := v.columns(images, heads)
	if q3 && k3 && v3 && qs == ks && qs == vs && q.tokens == k.tokens {
		a.Offsets = [3]int{qo, ko, vo}
		features := qs.Type.Elements() / (images * q.tokens)
		in = []*op.Value{f.reshape(qs, images, q.tokens, features)}
		scale *= q.scale * k.scale
	} else {
		in = make([]*op.Value, 3)
		for i, part := range []attentionOperand{q, k, v} {
			var applied float64
			in[i], applied = f.rows(part, images, heads)
			scale *= applied
		}
	}
	a.Scale = scale
	out := f.emit(a, in...)
	// [images, tokens, heads·width] seen as the product was: heads before tokens.
	out = f.emit(op.Reshape{Shape: []int{images, q.tokens, heads, q.width}}, out)
	out = f.emit(op.Transpose{Perm: []int{0, 2, 1, 3}}, out)
	f.replace(s.Out, op.Reshape{Shape: shape}, out)
}

// scaledProduct follows weights = softmax(scale·product) back to the product, of
// query and key, through what nothing else reads.
func (f *fuser) scaledProduct(weights *op.Value) (product *op.Step, scale float64, ok bool) {
	if weights.Step == nil {
		return nil, 0, false
	}
	softmax, ok := weights.Step.Op.(op.Softmax)
	if !ok || softmax.Axis != weights.Type.Rank()-1 || !f.once(weights) {
		return nil, 0, false
	}
	scale = 1
	scores := f.pastNeutral(weights.Step.In[0])
	for scores.Step != nil && f.once(scores) {
		x, c, ok := isScale(scores.Step)
		if !ok {
			break
		}
		scale *= c
		scores = f.pastNeutral(x)
	}
	if scores.Step == nil || !f.once(scores) {
		return nil, 0, false
	}
	o, ok := scores.Step.Op.(op.MatMul)
	if !ok || o.TransA {
		return nil, 0, false
	}
	if o.Alpha != 0 {
		scale *= o.Alpha
	}
	return scores.Step, scale, true
}

// pastNeutral follows v back through what dropNeutral has left in the place of a mask
// that masks nothing, where nothing else reads it.
func (f *fuser) pastNeutral(v *op.Value) *op.Value {
	for v.Step != nil && isReshape(v.Step) && f.once(v) && v.Type.Equal(v.Step.In[0].Type) {
		v = v.Step.In[0]
	}
	return v
}

func plainProduct(s *op.Step) bool {
	o := s.Op.(op.MatMul)
	return !o.TransA && !o.TransB && (o.Alpha == 0 || o.Alpha == 1)
}

// attentionOperand is a query, key or value: a stack of matrices [tokens,
// width], as a rearrangement of a source, times a scalar.
type attentionOperand struct {
	value                *op.Value // of shape [..., tokens, width], or transposed
	transposed           bool
	layout               layout // with tokens before width
	scale                float64
	batch, tokens, width int
}

// operand follows v back through rearrangements and scalings.
func (f *fuser) operand(v *op.Value, transposed bool) (attentionOperand, bool) {
	rank := v.Type.Rank()
	if rank < 3 || !v.OnDataPath {
		return attentionOperand{}, false
	}
	a := attentionOperand{value: v, transposed: transposed, scale: 1}
	var chain []*op.Step
	source := v
	for source.Step != nil {
		if x, c, ok := isScale(source.Step); ok {
			a.scale *= c
			source = x
			continue
		}
		if !isLayout(source.Step) || !source.Step.In[0].OnDataPath {
			break
		}
		chain = append(chain, source.Step)
		source = source.Step.In[0]
	}
	a.layout = contiguous(source)
	for _, s := range slices.Backward(chain) {
		var ok bool
		if a.layout, ok = a.layout.apply(s); !ok {
			// Beyond description: take the operand as it stands.
			a.layout, a.scale = contiguous(v), 1
			break
		}
	}
	dims := a.layout.dims
	shape := v.Type.Shape
	a.tokens, a.width = shape[rank-2], shape[rank-1]
	if transposed {
		a.tokens, a.width = a.width, a.tokens
		dims = slices.Clone(dims)
		dims[rank-2], dims[rank-1] = dims[rank-1], dims[rank-2]
		a.layout.dims = dims
	}
	a.batch = 1
	for _, d := range shape[:rank-2] {
		a.batch *= d
	}
	return a, true
}

// images splits the batch dimensions into examples and heads: it returns the
// first dimension of a 4-D operand, the outer factor of a 3-D one, or the
// network's batch where the two are not told apart. Any divisor gives the same
// result, for every matrix of the stack is treated alone. 0 means none fits.
func (a attentionOperand) images(batch int) int {
	shape := a.value.Type.Shape
	switch {
	case len(shape) == 4:
		return shape[0]
	case len(shape) == 3:
		if outer := merged(a.layout.dims[0]); len(outer) == 2 {
			return outer[0].size
		}
		if a.batch%batch == 0 {
			return batch
		}
	}
	return 0
}

// columns reports whether the operand is, for each head, a block of adjacent
// columns of the rows of a [images, tokens, features] source, and where the
// first head's begins.
func (a attentionOperand) columns(images, heads int) (offset int, source *op.Value, ok bool) {
	l := a.layout
	features := l.source.Type.Elements() / (images * a.tokens)
	rank := len(l.dims)
	batch := split(merged(l.dims[:rank-2]...), images, heads)
	want := []factor{{images, a.tokens * features}, {heads, a.width}}
	if !sameFactors(batch, want) ||
		!sameFactors(merged(l.dims[rank-2]), []factor{{a.tokens, features}}) ||
		!sameFactors(merged(l.dims[rank-1]), []factor{{a.width, 1}}) ||
		l.offset+heads*a.width > features {
		return 0, nil, false
	}
	return l.offset, l.source, true
}

// split cuts a single merged factor of images·heads into the two.
func split(fs []factor, images, heads int) []factor {
	if len(fs) == 1 && fs[0].size == images*heads && images > 1 && heads > 1 {
		return []factor{{images, fs[0].stride * heads}, {heads, fs[0].stride}}
	}
	return fs
}

// sameFactors compares factors, those of size one aside.
func sameFactors(got, want []factor) bool {
	want = slices.DeleteFunc(slices.Clone(want), func(f factor) bool { return f.size == 1 })
	return slices.Equal(got, want)
}

// rows brings an operand to [images, tokens, heads·width]. The scale it returns
// is still to be applied: an operand that is read from its source has lost it.
func (f *fuser) rows(a attentionOperand, images, heads int) (*op.Value, float64) {
	if offset, source, ok := a.columns(images, heads); ok && offset == 0 && source.Type.Elements() == images*a.tokens*heads*a.width {
		return f.reshape(source, images, a.tokens, heads*a.width), a.scale
	}
	perm, dims := []int{0, 2, 1, 3}, []int{images, heads, a.tokens, a.width}
	if a.transposed {
		perm, dims = []int{0, 3, 1, 2}, []int{images, heads, a.width, a.tokens}
	}
	v := f.emit(op.Transpose{Perm: perm}, f.reshape(a.value, dims...))
	return f.reshape(v, images, a.tokens, heads*a.width), 1
}

// reshape emits a Reshape where the shape differs.
func (f *fuser) reshape(v *op.Value, shape ...int) *op.Value {
	if slices.Equal(v.Type.Shape, shape) {
		return v
	}
	return f.emit(op.Reshape{Shape: shape}, v)
}
