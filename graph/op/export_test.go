package op

import (
	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// What tests reach inside for: the sizes of the blocks of work that a case must
// exceed.
const (
	PatchRows  = patchRows
	MinQueries = minQueries
)

func PowByExponent(a, b float64) float64   { return powByExponent(a, b) }
func (o PatchEmbedding) Convolution() Conv { return o.conv() }

// Tile is the number of positions that are computed at once.
func (o Conv) Tile(in []Type) (int, error) {
	n, err := o.convolution(in)
	return n.tile(), err
}

// CopyStrided copies elements of src, from an offset and by strides, to all of
// dst.
func CopyStrided(c *kernel.Context, dst, src Array, offset int, strides []int) {
	copyStrided(c, dst.Shape, dst, contiguous(dst.Shape), src, placement{offset, dimsOf(strides)})
}

// AttentionInBlocks computes an attention and the cotangent of its packed input
// in groups of heads and blocks of queries.
func AttentionInBlocks(o PackedAttention, packed, dout Array, group, block int) (y, dx []float64) {
	h := newAttentionHeads[float64](o, []Array{packed}, 1)
	h.group, h.block = group, block
	y, dx = make([]float64, dout.Elements()), make([]float64, packed.Elements())
	c := kernel.NewContext(1)
	h.forward(c, y)
	q, k, v := h.q, h.k, h.v
	q.data, k.data, v.data = dx, dx, dx
	h.grad(c, Elem[float64](dout), [3]strided[float64]{q, k, v})
	return y, dx
}

func TypesOf(in []Array) []Type { return appendTypes(nil, in) }
