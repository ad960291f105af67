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
		h := newAttentionHeads[float32](o, in, c.Threads())
		h.forward(c, Elem[float32](out))
	} else {
		h := newAttentionHeads[float64](o, in, c.Threads())
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
	group         int // heads whose scores are held at once
	block         int // queries whose scores are held at once
	q, k, v       strided[T]
}

const (
	// Scores are held for some heads, or for a block of the queries of one: about scoreBlock of
	// them, that they stay in the cache, but those of minQueries queries or more.
	scoreBlock = 1 << 16
	minQueries = 64

	// headTasks is how many tasks a thread gets, about, where there are as many heads.
	headTasks = 4

	// rows of scores begin at multiples of this, a cache line of float32.
	pitchOf = 16
)

func newAttentionHeads[T kernel.Float](o PackedAttention, in []Array, threads int) attentionHeads[T] {
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
	h.group = max(1, min(o.Heads, scoreBlock/max(1, h.queries*h.keys), h.examples*o.Heads/(headTasks*threads)))
	return h
}

// part is what is computed at once: some heads of an example, a block of their queries. Scores
// and probabilities are matrices [keys, count·queries], the heads side by side: the softmax then
// goes down columns, and k and the probabilities are read as they lie.
type part struct {
	example, head, count int
	from, queries        int
	pitch                int // distance between rows of scores
}

// of returns a head's matrix from its first element on.
func (s strided[T]) of(p part, headDim int) []T {
	return s.data[s.offset+p.example*s.example+p.head*headDim:]
}

// queriesOf is of for a matrix with a row for each query.
func (s strided[T]) queriesOf(p part, headDim int) []T {
	return s.of(p, headDim)[p.from*s.row:]
}

// groups is the number of parts that the heads of an example are divided in.
func (h *attentionHeads[T]) groups() int { return (h.op.Heads + h.group - 1) / h.group }

// pitch is the distance between rows of scores.
func (h *attentionHeads[T]) pitch() int { return (h.group*h.block + pitchOf - 1) / pitchOf * pitchOf }

// scores is the number of scores of a part.
func (h *attentionHeads[T]) scores() int { return max(1, h.keys) * h.pitch() }

// tasks is the number of groups of all examples, and of those of a task.
func (h *attentionHeads[T]) tasks(threads int) (n, grain int) {
	if h.queries == 0 || h.op.width() == 0 {
		return 0, 1
	}
	n = h.examples * h.groups()
	return n, max(rowGrain/h.scores(), n/(headTasks*threads))
}

// each calls f for the parts of groups [lo, hi).
func (h *attentionHeads[T]) each(lo, hi int, f func(p part)) {
	groups := h.groups()
	for i := lo; i < hi; i++ {
		p := part{example: i / groups, head: i % groups * h.group, pitch: h.pitch()}
		p.count = min(h.group, h.op.Heads-p.head)
		for p.from = 0; p.from < h.queries; p.from += h.block {
			p.queries = min(h.block, h.queries-p.from)
			f(p)
		}
	}
}

// probabilities computes softmax(Scale·k·qᵀ) down the columns.
func (h *attentionHeads[T]) probabilities(c *kernel.Context, p part, s []T) {
	d := h.op.HeadDim
	kernel.GemmBatch(c, p.count, false, true, h.keys, p.queries, d, T(h.op.Scale), h.k.of(p, d), h.k.row, d, h.q.queriesOf(p, d), h.q.row, d, 0, s, p.pitch, p.queries)
	kernel.SoftmaxColumns(c, s, h.keys, p.count*p.queries, p.pitch)
}

func (h *attentionHeads[T]) forward(c *kernel.Context, out []T) {
	n, grain := h.tasks(c.Threads())
	kernel.Run(c, n, grain, attending[T]{*h, strided[T]{out, 0, h.queries * h.op.width(), h.op.width()}})
}

type attending[T kernel.Float] struct {
	attentionHeads[T]
	y strided[T]
}

func (t *attending[T]) Chunk(c *kernel.Context, lo, hi int) {
	d := t.op.HeadDim
	scores := kernel.Scratch[T](c, t.scores())
	defer kernel.Release(c, scores)
	t.each(lo, hi, func(p part) {
		t.probabilities(c, p, scores)
		kernel.GemmBatch(c, p.count, true, false, p.queries, d, t.keys, 1, scores, p.pitch, p.queries, t.v.of(p, d), t.v.row, d, 0, t.y.queriesOf(p, d), t.y.row, d)
	})
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
	h := newAttentionHeads[T](o.Attention, in[:last], c.Threads())
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
	n, grain := h.tasks(c.Threads())
	dy := strided[T]{dout, 0, h.queries * h.op.width(), h.op.width()}
	kernel.Run(c, n, grain, attendingGrad[T]{*h, dy, cotangents[0], cotangents[1], cotangents[2]})
}

type attendingGrad[T kernel.Float] struct {
	attentionHeads[T]
	dy, dq, dk, dv strided[T]
}

func (t *attendingGrad[T]) Chunk(c *kernel.Context, lo, hi int) {
	s, ds := kernel.Scratch[T](c, t.scores()), kernel.Scratch[T](c, t.scores())
	defer kernel.Release(c, s)
	defer kernel.Release(c, ds)
	d, scale := t.op.HeadDim, T(t.op.Scale)
	t.each(lo, hi, func(p part) {
		t.probabilities(c, p, s)
		dy := t.dy.queriesOf(p, d)
		if t.dv.data != nil {
			kernel.GemmBatch(c, p.count, false, false, t.keys, d, p.queries, 1, s, p.pitch, p.queries, dy, t.dy.row, d, 1, t.dv.of(p, d), t.dv.row, d)
		}
		if t.dq.data == nil && t.dk.data == nil {
			return
		}
		kernel.GemmBatch(c, p.count, false, true, t.keys, p.queries, d, 1, t.v.of(p, d), t.v.row, d, dy, t.dy.row, d, 0, ds, p.pitch, p.queries)
		kernel.SoftmaxColumnsGrad(c, s, ds, t.keys, p.count*p.queries, p.pitch)
		if t.dq.data != nil {
			kernel.GemmBatch(c, p.count, true, false, p.queries, d, t.keys, scale, ds, p.pitch, p.queries, t.k.of(p, d), t.k.row, d, 1, t.dq.queriesOf(p, d), t.dq.row, d)
		}
		if t.dk.data != nil {
			kernel.GemmBatch(c, p.count, false, false, t.keys, d, p.queries, scale, ds, p.pitch, p.queries, t.q.queriesOf(p, d), t.q.row, d, 1, t.dk.of(p, d), t.dk.row, d)
		}
	})
}
