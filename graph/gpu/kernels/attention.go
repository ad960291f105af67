//go:build gpu && linux && cgo

package kernels

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Attention is softmax(Scale·q·kᵀ)·v for each example and head: Vaswani et al.,
// https://arxiv.org/abs/1706.03762. The heads of an example lie side by side in
// its rows, HeadDim columns each, and are read and written there: products are
// strided batches over the examples, head by head, or, where there are more
// heads than examples, over the heads, example by example. The scores of a batch
// are held, in rows padded to a multiple of 8 elements. In BF16, if all operands
// are bfloat16, products have such factors; scores and their cotangents are
// float32, and the probabilities, as factors, bfloat16. With other operands BF16 is
// computed as TF32.
//
// For rows of, say, 197 elements cuBLAS has kernels only that load them one by one
// ("align1"), so the padding is multiplied with, too, as if an example had more
// keys: those that follow in memory, which are the next example's. Their scores
// are computed and thrown away, and their probabilities are 0. The last examples,
// which nothing follows, are computed apart, without. (A v that is not finite
// makes the example before it NaN, too: 0·∞.)
type Attention struct {
	Examples, Heads, HeadDim int
	Queries, Keys            int // rows of q, of k and v, of an example
	Scale                    float32
	Round                    int // examples whose scores of a head are held at once; 0: as many as stay in a large card's cache
}

// Rows are an operand's rows: element i of head h of row r of an example is at
// Offset + example·ByExample + r·ByRow + h·HeadDim + i.
type Rows struct {
	Array
	Offset           int
	ByExample, ByRow int
}

// scoreBytes bounds the scores held at once where Round is 0: to about half of
// the second-level cache of large cards.
const scoreBytes = 24 << 20

func (o Attention) check() error {
	if _, err := product("attention", mostBytes, o.Examples, o.Heads, max(o.Queries, o.Keys), o.HeadDim); err != nil {
		return err
	}
	_, err := product("attention", mostInt, max(o.round(), o.Heads), o.Queries, o.lead())
	return err
}

// lead is the distance between rows of scores.
func (o Attention) lead() int { return max(8, (o.Keys+7)&^7) }

// round is Round or its default.
func (o Attention) round() int {
	if o.Round > 0 {
		return min(o.Round, max(1, o.Examples))
	}
	return max(1, min(o.Examples, scoreBytes/max(1, floatBytes*o.Queries*o.lead())))
}

// overHeads says whether batches are the heads of an example.
func (o Attention) overHeads() bool { return o.Heads > o.Examples }

// Work is the scratch memory of Forward and Grad, in bytes: of scores and their
// cotangents, or of either in float32 and both in bfloat16.
func (o Attention) Work() int64 { return int64(2 * o.scoresBytes()) }

func (o Attention) scoresBytes() int {
	return aligned(floatBytes * max(o.round(), o.Heads) * o.Queries * o.lead())
}

// padded is the number of examples, the first ones, that have lead() rows of k
// and of v within the arrays.
func (o Attention) padded(k, v Rows) int {
	n := o.Examples
	for _, r := range []Rows{k, v} {
		switch beyond := (o.lead() - o.Keys) * r.ByRow; {
		case beyond == 0:
		case r.ByExample <= 0:
			n = 0
		default:
			n = min(n, max(0, o.Examples-blocksOf(beyond, r.ByExample)))
		}
	}
	return n
}

// headBatch is a batch: some examples of a head, or the heads of an example.
type headBatch struct {
	Attention
	q             Queue
	precision     driver.Precision
	example, head int  // the first
	heads         bool // of an example; otherwise examples of a head
	size          int
	keys          int   // with the padding, if the batch has it
	scores        Array // float32
	probable      Array // softmax of the scores: in their place, if of the same format
	dprobable     Array // its cotangent, float32
	dscore        Array // that of the scores: in the place of dprobable, if of the same format
}

// batches calls f for all examples and heads. half says that the operands are
// bfloat16.
func (o Attention) batches(q Queue, p driver.Precision, half bool, k, v Rows, work driver.Ptr, f func(b headBatch) error) error {
	if err := o.check(); err != nil || o.Examples*o.Heads*o.HeadDim == 0 {
		return err
	}
	first, second := Float32(work), Float32(work+driver.Ptr(o.scoresBytes()))
	b := headBatch{Attention: o, q: q, precision: composed(p), keys: o.lead(), scores: first, probable: first, dprobable: second, dscore: second}
	if p == driver.BF16 && half {
		b.precision, b.dprobable = p, first // the scores have been read by then
		b.probable = Array{second.Data, true}
		b.dscore = b.probable.From(o.scoresBytes() / floatBytes)
	}
	padded := o.padded(k, v)
	if !o.overHeads() {
		for ; b.example < padded; b.example += b.size {
			b.size = min(o.round(), padded-b.example)
			for b.head = range o.Heads {
				if err := f(b); err != nil {
					return err
				}
			}
		}
	}
	b.head, b.size, b.heads = 0, o.Heads, true
	for ; b.example < o.Examples; b.example++ {
		if b.example >= padded {
			b.keys = o.Keys
		}
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

// of describes the batch's matrices in an operand.
func (b headBatch) of(r Rows) driver.Matrix {
	stride := r.ByExample
	if b.heads {
		stride = b.HeadDim
	}
	return r.From(r.Offset + b.example*r.ByExample + b.head*b.HeadDim).matrix(driver.Matrix{Lead: r.ByRow, Stride: int64(stride)})
}

// matrix describes the batch's scores, or what has their shape.
func (b headBatch) matrix(scores Array) driver.Matrix {
	return scores.matrix(driver.Matrix{Lead: b.lead(), Stride: int64(b.Queries * b.lead())})
}

func transpose(m driver.Matrix) driver.Matrix {
	m.Trans = !m.Trans
	return m
}

func (b headBatch) multiply(m, n, k int, alpha float32, x, y driver.Matrix, beta float32, to driver.Matrix) error {
	return b.q.GemmBatch(b.precision, b.size, m, n, k, alpha, x, y, beta, to)
}

// probabilities computes softmax(Scale·q·kᵀ) in b.probable.
func (b headBatch) probabilities(q, k Rows) error {
	if err := b.multiply(b.Queries, b.keys, b.HeadDim, b.Scale, b.of(q), transpose(b.of(k)), 0, b.matrix(b.scores)); err != nil {
		return err
	}
	return SoftmaxRows(b.q, b.scores, b.probable, b.size*b.Queries, b.Keys, b.lead(), false)
}

// Forward computes y, Queries rows of each example.
func (o Attention) Forward(queue Queue, p driver.Precision, q, k, v, y Rows, work driver.Ptr) error {
	half := q.BFloat16 && k.BFloat16 && v.BFloat16
	return o.batches(queue, p, half, k, v, work, func(b headBatch) error {
		if err := b.probabilities(q, k); err != nil {
			return err
		}
		return b.multiply(b.Queries, b.HeadDim, b.keys, 1, b.matrix(b.probable), b.of(v), 0, b.of(y))
	})
}

// Grad computes the cotangents of q, k and v from that of the result, and leaves
// out those whose Data is 0. The probabilities are computed again. With add, the
// cotangents are added to what is there, so that operands may share columns.
func (o Attention) Grad(queue Queue, p driver.Precision, q, k, v, dy, dq, dk, dv Rows, add bool, work driver.Ptr) error {
	var beta float32
	if add {
		beta = 1
	}
	half := q.BFloat16 && k.BFloat16 && v.BFloat16 && dy.BFloat16
	return o.batches(queue, p, half, k, v, work, func(b headBatch) error {
		if err := b.probabilities(q, k); err != nil {
			return err
		}
		if dv.Data != 0 {
			if err := b.multiply(b.Keys, b.HeadDim, b.Queries, 1, transpose(b.matrix(b.probable)), b.of(dy), beta, b.of(dv)); err != nil {
				return err
			}
		}
		if dq.Data == 0 && dk.Data == 0 {
			return nil
		}
		if err := b.multiply(b.Queries, b.keys, b.HeadDim, 1, b.of(dy), transpose(b.of(v)), 0, b.matrix(b.dprobable)); err != nil {
			return err
		}
		if err := SoftmaxRowsGrad(b.q, b.probable, b.dprobable, b.dscore, b.size*b.Queries, b.Keys, b.lead(), false); err != nil {
			return err
		}
		if dq.Data != 0 {
			if err := b.multiply(b.Queries, b.HeadDim, b.keys, b.Scale, b.matrix(b.dscore), b.of(k), beta, b.of(dq)); err != nil {
				return err
			}
		}
		if dk.Data != 0 {
			return b.multiply(b.Keys, b.HeadDim, b.Queries, b.Scale, transpose(b.matrix(b.dscore)), b.of(q), beta, b.of(dk))
		}
		return nil
	})
}
