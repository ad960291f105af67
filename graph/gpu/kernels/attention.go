//go:build gpu && linux && cgo

package kernels

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Attention is softmax(Scale·q·kᵀ)·v for each example and head: Vaswani et al.,
// https://arxiv.org/abs/1706.03762. The heads of an example lie side by side in
// its rows, HeadDim columns each. Products are strided batches over examples and
// heads; the scores, whose rows are padded to a multiple of 8 elements, are held
// for some examples at a time. BF16 is computed as TF32.
type Attention struct {
	Examples, Heads, HeadDim int
	Queries, Keys            int // rows of q, of k and v, of an example
	Scale                    float32
	Round                    int // examples whose scores are held at once; 0: as many as fit about half of a large card's cache
}

// Rows are the first head's rows of an operand: element i of row r of an example
// is at Offset + example·ByExample + r·ByRow + i.
type Rows struct {
	Data             driver.Ptr
	Offset           int
	ByExample, ByRow int
}

// scoreBytes bounds the scores held at once where Round is 0.
const scoreBytes = 24 << 20

func (o Attention) check() error {
	if _, err := product("attention", mostInt, o.Examples, o.Heads, max(o.Queries, o.Keys), o.HeadDim); err != nil {
		return err
	}
	_, err := product("attention", mostInt, o.Heads, o.Queries, o.lead())
	return err
}

// lead is the distance between rows of scores.
func (o Attention) lead() int { return max(8, (o.Keys+7)&^7) }

// round is Round or its default.
func (o Attention) round() int {
	if o.Round > 0 {
		return min(o.Round, max(1, o.Examples))
	}
	return max(1, min(o.Examples, scoreBytes/max(1, floatBytes*o.Heads*o.Queries*o.lead())))
}

// Work is the scratch memory of Forward and Grad, in bytes.
func (o Attention) Work() int64 {
	b := o.buffers(0)
	return int64(b.end)
}

// buffers are the parts of the scratch memory: the heads of q, k, v and y or their
// cotangents, each [round, Heads, rows, HeadDim], and two of scores.
type buffers struct {
	q, k, v, y, dq, dk, dv, scores, dscores driver.Ptr
	end                                     driver.Ptr
}

func (o Attention) buffers(work driver.Ptr) buffers {
	b := buffers{end: work}
	take := func(rows, columns int) driver.Ptr {
		p := b.end
		b.end += driver.Ptr(aligned(floatBytes * o.round() * o.Heads * rows * columns))
		return p
	}
	b.q, b.k, b.v = take(o.Queries, o.HeadDim), take(o.Keys, o.HeadDim), take(o.Keys, o.HeadDim)
	b.y = take(o.Queries, o.HeadDim)
	b.dq, b.dk, b.dv = take(o.Queries, o.HeadDim), take(o.Keys, o.HeadDim), take(o.Keys, o.HeadDim)
	b.scores, b.dscores = take(o.Queries, o.lead()), take(o.Queries, o.lead())
	return b
}

// split copies the heads of n examples from first on to [n, Heads, rows, HeadDim].
func (o Attention) split(q Queue, from Rows, to driver.Ptr, first, n, rows int) error {
	shape := []int{n, o.Heads, rows, o.HeadDim}
	return Move(q, shape, Contiguous(to, shape), o.heads(from, first))
}

// join copies them back.
func (o Attention) join(q Queue, from driver.Ptr, to Rows, first, n, rows int) error {
	shape := []int{n, o.Heads, rows, o.HeadDim}
	return Move(q, shape, o.heads(to, first), Contiguous(from, shape))
}

func (o Attention) heads(r Rows, first int) Placement {
	return Placement{r.Data, r.Offset + first*r.ByExample, []int{r.ByExample, o.HeadDim, r.ByRow, 1}}
}

// matrices describes the heads of an operand, rows × HeadDim each.
func (o Attention) matrices(p driver.Ptr, rows int) driver.Matrix {
	return driver.Matrix{Data: p, Lead: o.HeadDim, Stride: int64(rows * o.HeadDim)}
}

// scored describes a buffer of scores, Queries × Keys each.
func (o Attention) scored(p driver.Ptr) driver.Matrix {
	return driver.Matrix{Data: p, Lead: o.lead(), Stride: int64(o.Queries * o.lead())}
}

func transposedMatrix(m driver.Matrix) driver.Matrix {
	m.Trans = true
	return m
}

// probabilities splits the heads of q and k of n examples and computes
// softmax(Scale·q·kᵀ) in b.scores.
func (o Attention) probabilities(queue Queue, p driver.Precision, b buffers, q, k Rows, first, n int) error {
	if err := o.split(queue, q, b.q, first, n, o.Queries); err != nil {
		return err
	}
	if err := o.split(queue, k, b.k, first, n, o.Keys); err != nil {
		return err
	}
	err := queue.GemmBatch(composed(p), n*o.Heads, o.Queries, o.Keys, o.HeadDim, o.Scale, o.matrices(b.q, o.Queries),
		transposedMatrix(o.matrices(b.k, o.Keys)), 0, o.scored(b.scores))
	if err != nil {
		return err
	}
	return SoftmaxRows(queue, b.scores, b.scores, n*o.Heads*o.Queries, o.Keys, o.lead(), false)
}

func (o Attention) rounds(f func(first, n int) error) error {
	for first := 0; first < o.Examples; first += o.round() {
		if err := f(first, min(o.round(), o.Examples-first)); err != nil {
			return err
		}
	}
	return nil
}

// Forward computes y [Examples, Queries, Heads·HeadDim], placed as it says.
func (o Attention) Forward(queue Queue, p driver.Precision, q, k, v, y Rows, work driver.Ptr) error {
	if err := o.check(); err != nil || o.Examples*o.Heads*o.HeadDim*o.Queries == 0 {
		return err
	}
	b := o.buffers(work)
	return o.rounds(func(first, n int) error {
		if err := o.probabilities(queue, p, b, q, k, first, n); err != nil {
			return err
		}
		if err := o.split(queue, v, b.v, first, n, o.Keys); err != nil {
			return err
		}
		err := queue.GemmBatch(composed(p), n*o.Heads, o.Queries, o.HeadDim, o.Keys, 1, o.scored(b.scores), o.matrices(b.v, o.Keys), 0, o.matrices(b.y, o.Queries))
		if err != nil {
			return err
		}
		return o.join(queue, b.y, y, first, n, o.Queries)
	})
}

// Grad writes the cotangents of q, k and v, left out where their Data is 0,
// from that of the result. The probabilities are computed again. Cotangents must
// not overlap: operands that share columns are told apart by the caller.
func (o Attention) Grad(queue Queue, p driver.Precision, q, k, v, dy, dq, dk, dv Rows, work driver.Ptr) error {
	if err := o.check(); err != nil || o.Examples*o.Heads*o.HeadDim == 0 {
		return err
	}
	b := o.buffers(work)
	batch := func(n, m, width, inner int, alpha float32, x, y, to driver.Matrix) error {
		return queue.GemmBatch(composed(p), n*o.Heads, m, width, inner, alpha, x, y, 0, to)
	}
	queries := func(p driver.Ptr) driver.Matrix { return o.matrices(p, o.Queries) }
	keys := func(p driver.Ptr) driver.Matrix { return o.matrices(p, o.Keys) }
	return o.rounds(func(first, n int) error {
		if err := o.probabilities(queue, p, b, q, k, first, n); err != nil {
			return err
		}
		if err := o.split(queue, dy, b.y, first, n, o.Queries); err != nil {
			return err
		}
		if dv.Data != 0 {
			if err := batch(n, o.Keys, o.HeadDim, o.Queries, 1, transposedMatrix(o.scored(b.scores)), queries(b.y), keys(b.dv)); err != nil {
				return err
			}
			if err := o.join(queue, b.dv, dv, first, n, o.Keys); err != nil {
				return err
			}
		}
		if dq.Data == 0 && dk.Data == 0 {
			return nil
		}
		if err := o.split(queue, v, b.v, first, n, o.Keys); err != nil {
			return err
		}
		if err := batch(n, o.Queries, o.Keys, o.HeadDim, 1, queries(b.y), transposedMatrix(keys(b.v)), o.scored(b.dscores)); err != nil {
			return err
		}
		if err := SoftmaxRowsGrad(queue, b.scores, b.dscores, b.dscores, n*o.Heads*o.Queries, o.Keys, o.lead(), false); err != nil {
			return err
		}
		if dq.Data != 0 {
			if err := batch(n, o.Queries, o.HeadDim, o.Keys, o.Scale, o.scored(b.dscores), keys(b.k), queries(b.dq)); err != nil {
				return err
			}
			if err := o.join(queue, b.dq, dq, first, n, o.Queries); err != nil {
				return err
			}
		}
		if dk.Data != 0 {
			if err := batch(n, o.Keys, o.HeadDim, o.Queries, o.Scale, transposedMatrix(o.scored(b.dscores)), queries(b.q), keys(b.dk)); err != nil {
				return err
			}
			return o.join(queue, b.dk, dk, first, n, o.Keys)
		}
		return nil
	})
}
