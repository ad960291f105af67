package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// copyGrain is the number of elements that one task of a copy moves.
const copyGrain = 1 << 14

// transposeTile is the side of the square tiles in which a transposition is
// copied: two tiles of float64 fit the first-level cache with room to spare.
const transposeTile = 16

// placement says where the elements of a row-major nest of loops lie in an
// array: at offset + Σ index[i]·strides[i], in elements. A stride may be
// negative (a reversed axis) or 0 (a repeated element).
type placement struct {
	offset  int
	strides dims
}

// contiguous is the placement of an array's elements in their own order.
func contiguous(shape []int) placement {
	p := placement{strides: dims{n: len(shape)}}
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		p.strides.at[i] = step
		step *= shape[i]
	}
	return p
}

// copyStrided copies the elements of a nest of loops from one placement to
// another. It is how every operation that only moves elements runs: Transpose,
// Slice, Expand, Concat, Pad and their gradients. Targets must not overlap.
func copyStrided(c *kernel.Context, shape []int, dst Array, to placement, src Array, from placement) {
	m, some := newMove(shape, to, from)
	if !some {
		return
	}
	switch d := dst.Data.(type) {
	case []float32:
		runMove(c, m, d, Elem[float32](src))
	case []float64:
		runMove(c, m, d, Elem[float64](src))
	case []int64:
		runMove(c, m, d, Elem[int64](src))
	case []bool:
		runMove(c, m, d, Elem[bool](src))
	default:
		panic(fmt.Sprintf("op: array of %v holds %T", dst.Type, dst.Data))
	}
}

// clearArray sets every element to zero.
func clearArray(c *kernel.Context, a Array) {
	switch d := a.Data.(type) {
	case []float32:
		fill(c, d, 0)
	case []float64:
		fill(c, d, 0)
	case []int64:
		fill(c, d, 0)
	case []bool:
		fill(c, d, false)
	}
}

// fill sets every element to x.
func fill[T Element](c *kernel.Context, y []T, x T) {
	kernel.Run(c, len(y), kernel.Grain(1), filling[T]{y, x})
}

type filling[T Element] struct {
	y []T
	x T
}

func (t *filling[T]) Chunk(_ *kernel.Context, lo, hi int) {
	y := t.y[lo:hi]
	for i := range y {
		y[i] = t.x
	}
}

// move is a planned copy: outer loops around a kernel of two loops, a and b,
// of which b runs along the target's shortest stride and a along the source's
// where that is another loop (a transposition), else a has size 1.
type move struct {
	outer    dims // sizes of the outer loops
	outerTo  dims
	outerSrc dims
	to, src  int // offsets of the first element
	a, b     moveLoop
}

type moveLoop struct{ size, to, src int }

// newMove plans a copy: loops of size 1 vanish and neighbours that are one
// stretch on both sides merge. some is false when there is nothing to copy.
func newMove(shape []int, to, from placement) (m move, some bool) {
	var buffer [shapes.MaxRank]moveLoop
	loops := buffer[:0]
	for i, n := range shape {
		if n == 0 {
			return move{}, false
		}
		if n == 1 {
			continue
		}
		l := moveLoop{n, to.strides.at[i], from.strides.at[i]}
		if k := len(loops) - 1; k >= 0 && loops[k].to == l.to*n && loops[k].src == l.src*n {
			l.size *= loops[k].size
			loops[k] = l
			continue
		}
		loops = append(loops, l)
	}
	m = move{to: to.offset, src: from.offset, a: moveLoop{size: 1}, b: moveLoop{1, 1, 1}}
	if k := len(loops) - 1; k >= 0 {
		m.b = loops[k]
		loops = loops[:k]
	}
	if m.b.src != 1 && m.b.src != 0 {
		if i := slices.IndexFunc(loops, func(l moveLoop) bool { return l.src == 1 }); i >= 0 {
			m.a = loops[i]
			loops = slices.Delete(loops, i, i+1)
		}
	}
	for _, l := range loops {
		m.outer.add(l.size)
		m.outerTo.add(l.to)
		m.outerSrc.add(l.src)
	}
	return m, true
}

// runMove splits the copy into pieces (an outer index and a stretch of loop a
// or, where the outer loops are few and long, a stretch of loop b) and runs
// them in parallel.
func runMove[T Element](c *kernel.Context, m move, dst, src []T) {
	t := moving[T]{move: m, dst: dst, elements: src, stretchA: m.a.size, stretchB: m.b.size}
	if m.a.size > 1 {
		t.stretchA = min(m.a.size, max(transposeTile, copyGrain/m.b.size))
	} else {
		t.stretchB = min(m.b.size, copyGrain)
	}
	piecesA := (m.a.size + t.stretchA - 1) / t.stretchA
	t.piecesB = (m.b.size + t.stretchB - 1) / t.stretchB
	t.perOuter = piecesA * t.piecesB
	kernel.Run(c, t.perOuter*shapes.Elements(m.outer.all()), copyGrain/(t.stretchA*t.stretchB), t)
}

// moving is a move that is cut into pieces.
type moving[T Element] struct {
	move
	dst, elements      []T
	stretchA, stretchB int
	piecesB, perOuter  int
}

func (m *moving[T]) Chunk(_ *kernel.Context, lo, hi int) {
	index := dims{n: m.outer.n}
	to, from := m.to, m.src // of the outer index
	for rest, i := lo/m.perOuter, index.n-1; i >= 0; i-- {
		index.at[i] = rest % m.outer.at[i]
		rest /= m.outer.at[i]
		to += index.at[i] * m.outerTo.at[i]
		from += index.at[i] * m.outerSrc.at[i]
	}
	for piece, part := lo, lo%m.perOuter; piece < hi; piece++ {
		a0, b0 := part/m.piecesB*m.stretchA, part%m.piecesB*m.stretchB
		a, b := m.a, m.b
		a.size = min(m.stretchA, a.size-a0)
		b.size = min(m.stretchB, b.size-b0)
		t, f := to+a0*a.to+b0*b.to, from+a0*a.src+b0*b.src
		if m.a.size > 1 {
			copyTransposed(m.dst, m.elements, t, f, a, b)
		} else {
			copyRow(m.dst, m.elements, t, f, b)
		}
		if part++; part < m.perOuter {
			continue
		}
		part = 0
		for i := index.n - 1; i >= 0; i-- { // the next outer index
			to += m.outerTo.at[i]
			from += m.outerSrc.at[i]
			if index.at[i]++; index.at[i] < m.outer.at[i] {
				break
			}
			to -= m.outer.at[i] * m.outerTo.at[i]
			from -= m.outer.at[i] * m.outerSrc.at[i]
			index.at[i] = 0
		}
	}
}

// copyRow copies one loop.
func copyRow[T Element](dst, src []T, to, from int, l moveLoop) {
	switch {
	case l.to == 1 && l.src == 1:
		copy(dst[to:to+l.size], src[from:from+l.size])
	case l.to == 1 && l.src == 0:
		row, x := dst[to:to+l.size], src[from]
		for i := range row {
			row[i] = x
		}
	case l.to == 1:
		row := dst[to : to+l.size]
		for i := range row {
			row[i] = src[from]
			from += l.src
		}
	default:
		for range l.size {
			dst[to] = src[from]
			to += l.to
			from += l.src
		}
	}
}

// copyTransposed copies two loops tile by tile, so that both the lines read and
// the lines written stay in the cache until they are used up.
func copyTransposed[T Element](dst, src []T, to, from int, a, b moveLoop) {
	for a0 := 0; a0 < a.size; a0 += transposeTile {
		na := min(transposeTile, a.size-a0)
		for b0 := 0; b0 < b.size; b0 += transposeTile {
			nb := min(transposeTile, b.size-b0)
			t, f := to+a0*a.to+b0*b.to, from+a0+b0*b.src
			for i := range na {
				copyRow(dst, src, t+i*a.to, f+i, moveLoop{nb, b.to, b.src})
			}
		}
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

func clearElements(a Array, at, n int) {
	if d, ok := a.Data.([]float32); ok {
		clear(d[at : at+n])
		return
	}
	clear(Elem[float64](a)[at : at+n])
}
