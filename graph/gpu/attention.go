//go:build gpu && linux && cgo

package gpu

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// attention serves PackedAttention and its gradient, with all in one format.
func attention(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	all := !slices.Contains(s.bfloat16, false) && s.outBFloat16
	if s.anyBFloat16() && !all {
		return nil
	}
	switch o := s.op.(type) {
	case op.PackedAttention:
		h := newHeads(o, s.in)
		if h.Queries*h.Keys == 0 {
			return nil
		}
		return &launch{h.Work(), func(c call) error {
			q, k, v := h.operands(c.in)
			return h.Forward(c.Queue, s.precision, q, k, v, h.result(c.out), c.work)
		}}
	case op.PackedAttentionGradient:
		return attentionGrad(s, o)
	}
	return nil
}

// heads is an attention with the operands' places.
type heads struct {
	kernels.Attention
	rows [3]kernels.Rows // of q, k and v, without addresses
}

func newHeads(o op.PackedAttention, in []op.Type) heads {
	queries, keys := in[0].Shape, in[len(in)-1].Shape
	h := heads{Attention: kernels.Attention{
		Examples: queries[0], Heads: o.Heads, HeadDim: o.HeadDim, Queries: queries[1], Keys: keys[1], Scale: float32(o.Scale),
	}}
	for i := range h.rows {
		shape := in[min(i, len(in)-1)].Shape
		h.rows[i] = kernels.Rows{Offset: o.Offsets[i], ByExample: shape[1] * shape[2], ByRow: shape[2]}
	}
	return h
}

// operands places q, k and v in one array, or in three.
func (h heads) operands(in []kernels.Array) (q, k, v kernels.Rows) {
	rows := h.rows
	for i := range rows {
		rows[i].Array = in[min(i, len(in)-1)]
	}
	return rows[0], rows[1], rows[2]
}

// result places the result, or its cotangent.
func (h heads) result(y kernels.Array) kernels.Rows {
	width := h.Heads * h.HeadDim
	return kernels.Rows{Array: y, ByExample: h.Queries * width, ByRow: width}
}

func attentionGrad(s site, o op.PackedAttentionGradient) *launch {
	last := len(s.in) - 1
	h := newHeads(o.Attention, s.in[:last])
	if h.Queries*h.Keys == 0 {
		return nil
	}
	if last == 1 {
		// Columns may belong to none of q, k and v, or to several.
		at, width := o.Attention.Offsets, h.Heads*h.HeadDim
		apart := at[0] != at[1] && at[1] != at[2] && at[0] != at[2] && 3*width == s.in[0].Shape[2]
		elements := s.out.Elements()
		return &launch{h.Work(), func(c call) error {
			if !apart {
				if err := c.Clear(c.out.Data, c.out.Bytes(elements)); err != nil {
					return err
				}
			}
			q, k, v := h.operands(c.in[:1])
			dq, dk, dv := h.operands([]kernels.Array{c.out})
			return h.Grad(c.Queue, s.precision, q, k, v, h.result(c.in[1]), dq, dk, dv, !apart, c.work)
		}}
	}
	return &launch{h.Work(), func(c call) error {
		q, k, v := h.operands(c.in[:3])
		var grads [3]kernels.Array
		next := c.out
		for i, need := range o.Need {
			if need {
				grads[i] = next
				next = next.From(s.in[i].Elements())
			}
		}
		dq, dk, dv := h.operands(grads[:])
		return h.Grad(c.Queue, s.precision, q, k, v, h.result(c.in[3]), dq, dk, dv, false, c.work)
	}}
}
