package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// PackedAttention is softmax(Scale·q·kᵀ)·v for each example and head: Vaswani et
// al., https://arxiv.org/abs/1706.03762. The heads of an example lie side by
// side in its rows, as linear layers leave them.
//
// With one input [B, N, W], q, k and v are column blocks of its rows:
// Heads·HeadDim columns each, from Offsets on; two blocks are the same or
// disjoint. With three inputs, q is [B, N, Heads·HeadDim], k and v are
// [B, M, Heads·HeadDim], and Offsets are zero. The result is
// [B, N, Heads·HeadDim].
//
// The probabilities are never kept: the gradient computes them again, head by
// head.
type PackedAttention struct {
	Heads, HeadDim int
	Scale          float64
	Offsets        [3]int // first columns of q, k and v in a single input
}

func (PackedAttention) Name() string { return "PackedAttention" }
func (o PackedAttention) width() int { return o.Heads * o.HeadDim }

// Infer checks the widths of the rows.
func (o PackedAttention) Infer(in []Type) (Type, error) {
	n := 1
	if len(in) != 1 {
		n = 3
	}
	t, err := sameType(in, n, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	width := o.width()
	for i, u := range in {
		switch {
		case u.Rank() != 3:
			return Type{}, fmt.Errorf("expected rows [batch, tokens, features], found %v", u)
		case n == 3 && (u.Shape[2] != width || o.Offsets[i] != 0):
			return Type{}, fmt.Errorf("expected rows of %d features for %d heads of %d, found %v", width, o.Heads, o.HeadDim, u)
		case n == 3 && (u.Shape[0] != t.Shape[0] || i == 2 && u.Shape[1] != in[1].Shape[1]):
			return Type{}, fmt.Errorf("expected keys and values of one length for the queries' batch, found %v", in)
		}
	}
	if n == 1 {
		for i, at := range o.Offsets {
			if at < 0 || at+width > t.Shape[2] {
				return Type{}, fmt.Errorf("expected columns %d to %d within %v", at, at+width, t)
			}
			for _, other := range o.Offsets[:i] {
				if other != at && at < other+width && other < at+width {
					return Type{}, fmt.Errorf("columns of q, k and v at %v, %d wide, overlap", o.Offsets, width)
				}
			}
		}
	}
	return t.With(t.Shape[0], t.Shape[1], width), nil
}

// Forward computes the heads of all examples in parallel.
func (o PackedAttention) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		h := newAttentionHeads[float32](o, in)
		h.forward(c, Elem[float32](out))
	} else {
		h := newAttentionHeads[float64](o, in)
		h.forward(c, Elem[float64](out))
	}
}

// strided is a stack of matrices [rows, HeadDim], one for each example and head.
type strided[T kernel.Float] struct {
	data    []T
	offset  int // of the first element
	example int // distance between examples
	row     int // distance between rows
}

// attentionHeads is an attention over all examples and heads.
type attentionHeads[T kernel.Float] struct {
	op            PackedAttention
	examples      int
	queries, keys int // rows of q; of k and v
	block         int // queries whose scores are held at once
	q, k, v       strided[T]
}

// Scores are computed for blocks of queries that keep them in the cache: about
// scoreBlock scores, minQueries queries or more.
const (
	scoreBlock = 1 << 16
	minQueries = 64
)

func newAttentionHeads[T kernel.Float](o PackedAttention, in []Array) attentionHeads[T] {
	h := attentionHeads[T]{op: o, examples: in[0].Shape[0], queries: in[0].Shape[1], keys: in[0].Shape[1]}
	operands := [3]*strided[T]{&h.q, &h.k, &h.v}
	for i, p := range operands {
		a := in[0]
		if len(in) > 1 {
			a = in[i]
		}
		*p = strided[T]{Elem[T](a), o.Offsets[i], a.Shape[1] * a.Shape[2], a.Shape[2]}
	}
	if len(in) > 1 {
		h.keys = in[1].Shape[1]
	}
	h.block = min(h.queries, max(minQueries, scoreBlock/max(1, h.keys)))
	return h
}

// head returns the matrix of a head, from its first element on.
func (s strided[T]) head(example, head, width int) []T {
	return s.data[s.offset+example*s.example+head*width:]
}

// tasks returns how many heads there are, in all examples, and how many of them
// make a task.
func (h *attentionHeads[T]) tasks() (heads, grain int) {
	if h.queries == 0 || h.op.width() == 0 {
		return 0, 1
	}
	return h.examples * h.op.Heads, rowGrain / max(1, h.scores())
}

// scores is the number of scores of a block of queries.
func (h *attentionHeads[T]) scores() int { return h.block * h.keys }

// probabilities computes softmax(Scale·q·kᵀ) for the queries [lo, hi).
func (h *attentionHeads[T]) probabilities(c *kernel.Context, q, k, p []T, lo, hi int) {
	kernel.Gemm(c, false, true, hi-lo, h.keys, h.op.HeadDim, T(h.op.Scale), q[lo*h.q.row:], h.q.row, k, h.k.row, 0, p, h.keys)
	kernel.Softmax(c, p, p, hi-lo, h.keys)
}

func (h *attentionHeads[T]) forward(c *kernel.Context, out []T) {
	heads, grain := h.tasks()
	kernel.Run(c, heads, grain, attending[T]{*h, strided[T]{out, 0, h.queries * h.op.width(), h.op.width()}})
}

type attending[T kernel.Float] struct {
	attentionHeads[T]
	y strided[T]
}

func (t *attending[T]) Chunk(c *kernel.Context, lo, hi int) {
	d := t.op.HeadDim
	scores := kernel.Scratch[T](c, t.scores())
	defer kernel.Release(c, scores)
	for i := lo; i < hi; i++ {
		example, head := i/t.op.Heads, i%t.op.Heads
		q, k, v, y := t.q.head(example, head, d), t.k.head(example, head, d), t.v.head(example, head, d), t.y.head(example, head, d)
		for lo := 0; lo < t.queries; lo += t.block {
			hi := min(lo+t.block, t.queries)
			t.probabilities(c, q, k, scores, lo, hi)
			kernel.Gemm(c, false, false, hi-lo, d, t.keys, 1, scores, t.keys, v, t.v.row, 0, y[lo*t.y.row:], t.y.row)
		}
	}
}

// Gradient is one Op for q, k and v together, so that the probabilities are
// computed once.
func (o PackedAttention) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if len(in) == 1 {
		return []*gorgonia.Node{g.Do(PackedAttentionGradient{Attention: o}, in[0], dout)}
	}
	packed := g.Do(PackedAttentionGradient{o, [3]bool(need)}, in[0], in[1], in[2], dout)
	grads := make([]*gorgonia.Node, 3)
	at := 0
	for i, n := range in {
		if need[i] {
			t := g.TypeOf(n)
			grads[i] = packed
			if size := t.Elements(); size != g.TypeOf(packed).Elements() {
				grads[i] = g.Do(Slice{Starts: []int{at}, Sizes: []int{size}, Steps: []int{1}}, packed)
				at += size
			}
			grads[i] = g.reshape(grads[i], t.Shape...)
		}
	}
	return grads
}

// PackedAttentionGradient is the cotangent of the single input of
// PackedAttention, from it and the result's cotangent; or, from three inputs and
// the cotangent, those of the inputs that Need names, one after the other in a
// vector.
type PackedAttentionGradient struct {
	Attention PackedAttention
	Need      [3]bool // of three inputs
}

func (PackedAttentionGradient) Name() string { return "PackedAttentionGradient" }

func (o PackedAttentionGradient) Infer(in []Type) (Type, error) {
	last := len(in) - 1
	t, err := o.Attention.Infer(in[:max(last, 0)])
	if err != nil {
		return Type{}, err
	}
	if !in[last].Equal(t) {
		return Type{}, fmt.Errorf("expected a cotangent %v, found %v", t, in[last])
	}
	if last == 1 {
		return in[0], nil
	}
	size := 0
	for i, u := range in[:last] {
		if o.Need[i] {
			size += u.Elements()
		}
	}
	return t.With(size), nil
}

func (o PackedAttentionGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		packedAttentionGrad[float32](c, o, out, in)
	} else {
		packedAttentionGrad[float64](c, o, out, in)
	}
}

func packedAttentionGrad[T kernel.Float](c *kernel.Context, o PackedAttentionGradient, out Array, in []Array) {
	last := len(in) - 1
	h := newAttentionHeads[T](o.Attention, in[:last])
	grads := Elem[T](out)
	// Products are added to zero: columns may belong to none of q, k and v, or
	// to several.
	fill(c, grads, 0)
	var cotangents [3]strided[T]
	for i, p := range [...]strided[T]{h.q, h.k, h.v} {
		if last == 1 || o.Need[i] {
			p.data = grads
			cotangents[i] = p
		}
		if last == 3 && o.Need[i] {
			grads = grads[in[i].Elements():]
		}
	}
	h.grad(c, Elem[T](in[last]), cotangents)
}

// grad adds the cotangents of q, k and v, where their data is not nil.
func (h *attentionHeads[T]) grad(c *kernel.Context, dout []T, cotangents [3]strided[T]) {
	heads, grain := h.tasks()
	dy := strided[T]{dout, 0, h.queries * h.op.width(), h.op.width()}
	kernel.Run(c, heads, grain, attendingGrad[T]{*h, dy, cotangents[0], cotangents[1], cotangents[2]})
}

type attendingGrad[T kernel.Float] struct {
	attentionHeads[T]
	dy, dq, dk, dv strided[T]
}

func (t *attendingGrad[T]) Chunk(c *kernel.Context, lo, hi int) {
	p, ds := kernel.Scratch[T](c, t.scores()), kernel.Scratch[T](c, t.scores())
	defer kernel.Release(c, p)
	defer kernel.Release(c, ds)
	for i := lo; i < hi; i++ {
		t.head(c, i/t.op.Heads, i%t.op.Heads, p, ds)
	}
}

// head adds the cotangents of a head, with room for scores and their cotangents.
func (t *attendingGrad[T]) head(c *kernel.Context, example, head int, p, ds []T) {
	d, scale := t.op.HeadDim, T(t.op.Scale)
	q, k, v := t.q.head(example, head, d), t.k.head(example, head, d), t.v.head(example, head, d)
	for lo := 0; lo < t.queries; lo += t.block {
		hi := min(lo+t.block, t.queries)
		t.probabilities(c, q, k, p, lo, hi)
		dy := t.dy.head(example, head, d)[lo*t.dy.row:]
		if t.dv.data != nil {
			kernel.Gemm(c, true, false, t.keys, d, hi-lo, 1, p, t.keys, dy, t.dy.row, 1, t.dv.head(example, head, d), t.dv.row)
		}
		if t.dq.data == nil && t.dk.data == nil {
			continue
		}
		kernel.Gemm(c, false, true, hi-lo, t.keys, d, 1, dy, t.dy.row, v, t.v.row, 0, ds, t.keys)
		kernel.SoftmaxGrad(c, p, ds, ds, hi-lo, t.keys)
		if t.dq.data != nil {
			kernel.Gemm(c, false, false, hi-lo, d, t.keys, scale, ds, t.keys, k, t.k.row, 1, t.dq.head(example, head, d)[lo*t.dq.row:], t.dq.row)
		}
		if t.dk.data != nil {
			kernel.Gemm(c, true, false, t.keys, d, hi-lo, scale, ds, t.keys, q[lo*t.q.row:], t.q.row, 1, t.dk.head(example, head, d), t.dk.row)
		}
	}
}
