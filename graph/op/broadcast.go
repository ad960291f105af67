package op

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// loops is the nest of loops that computes a broadcast result: adjacent
// dimensions along which every operand keeps moving, or keeps standing still,
// are merged, so that the innermost loop is as long as it can be.
type loops struct {
	size     dims              // of each loop, outermost first; never empty
	operands int               // how many
	stride   [maxOperands]dims // stride[k].at[i] is operand k's step along loop i, in elements
}

// maxOperands is the most operands of a broadcast operation.
const maxOperands = 3

// newLoops plans the loops over out for operands of the given shapes, all of
// which broadcast to out.
func newLoops(out []int, operands ...[]int) loops {
	l := loops{operands: len(operands)}
	var step [maxOperands]int // contiguous stride of each operand at dimension i
	for k := range operands {
		step[k] = 1
	}
	// From the innermost dimension outwards; reversed at the end.
	for i := len(out) - 1; i >= 0; i-- {
		if out[i] == 1 {
			continue
		}
		var here [maxOperands]int
		for k, s := range operands {
			if j := i - (len(out) - len(s)); j >= 0 && s[j] != 1 {
				here[k] = step[k]
				step[k] *= s[j]
			}
		}
		last := l.size.n - 1
		merge := last >= 0
		for k := range operands {
			merge = merge && here[k] == l.stride[k].at[last]*l.size.at[last]
		}
		if merge {
			l.size.at[last] *= out[i]
			continue
		}
		l.size.add(out[i])
		for k := range operands {
			l.stride[k].add(here[k])
		}
	}
	l.complete(1)
	return l
}

// complete brings loops that were listed from the innermost one outwards in order. A nest
// without any gets one, of one iteration, with a stride.
func (l *loops) complete(stride int) {
	if l.size.n == 0 {
		l.size.add(1)
		for k := range l.operands {
			l.stride[k].add(stride)
		}
	}
	slices.Reverse(l.size.all())
	for k := range l.operands {
		slices.Reverse(l.stride[k].all())
	}
}

// inner returns operand k's step along the innermost loop: 1, or 0 where it is
// one element repeated.
func (l *loops) inner(k int) int { return l.stride[k].at[l.size.n-1] }

// rows calls f for each stretch of the innermost loop within the elements
// [lo, hi) of the result: its first element, its length and the operands'
// offsets.
func (l *loops) rows(lo, hi int, f func(at, n int, offset [maxOperands]int)) {
	last := l.size.n - 1
	var index dims
	var offset [maxOperands]int
	rest := lo
	for i := last; i >= 0; i-- {
		index.at[i] = rest % l.size.at[i]
		rest /= l.size.at[i]
		for k := range l.operands {
			offset[k] += index.at[i] * l.stride[k].at[i]
		}
	}
	for at := lo; at < hi; {
		n := min(l.size.at[last]-index.at[last], hi-at)
		f(at, n, offset)
		at += n
		if at == hi {
			return
		}
		// The stretch ended its row: back to the row's start, on to the next.
		for k := range l.operands {
			offset[k] -= index.at[last] * l.stride[k].at[last]
		}
		index.at[last] = 0
		for i := last - 1; i >= 0; i-- {
			index.at[i]++
			for k := range l.operands {
				offset[k] += l.stride[k].at[i]
			}
			if index.at[i] < l.size.at[i] {
				break
			}
			for k := range l.operands {
				offset[k] -= l.size.at[i] * l.stride[k].at[i]
			}
			index.at[i] = 0
		}
	}
}

// rowKernel computes y = f(a, b) on one stretch of a broadcast, in the three
// forms that occur: two vectors, or one of the operands a single element.
type rowKernel[T, R Element] struct {
	vectors func(a, b []T, y []R)
	right   func(a []T, b T, y []R) // b is one element
	left    func(a T, b []T, y []R) // a is one element
}

// rowsOf makes a rowKernel of a scalar function, for operations that are not
// worth three loops of their own.
func rowsOf[T, R Element](f func(a, b T) R) rowKernel[T, R] {
	return rowKernel[T, R]{
		func(a, b []T, y []R) {
			for i := range y {
				y[i] = f(a[i], b[i])
			}
		},
		func(a []T, b T, y []R) {
			for i := range y {
				y[i] = f(a[i], b)
			}
		},
		func(a T, b []T, y []R) {
			for i := range y {
				y[i] = f(a, b[i])
			}
		},
	}
}

// broadcast computes out = f(in[0], in[1]), broadcast to out's shape.
func broadcast[T, R Element](c *kernel.Context, out Array, in []Array, f rowKernel[T, R]) {
	y := Elem[R](out)
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape)
	kernel.Run(c, len(y), kernel.Grain(1), broadcasting[T, R]{l, f, Elem[T](in[0]), Elem[T](in[1]), y})
}

type broadcasting[T, R Element] struct {
	loops
	f    rowKernel[T, R]
	a, b []T
	y    []R
}

func (t *broadcasting[T, R]) Chunk(_ *kernel.Context, lo, hi int) {
	t.rows(lo, hi, func(at, n int, offset [maxOperands]int) {
		i, j, y := offset[0], offset[1], t.y[at:at+n]
		switch {
		case t.inner(0) == 0:
			t.f.left(t.a[i], t.b[j:j+n], y)
		case t.inner(1) == 0:
			t.f.right(t.a[i:i+n], t.b[j], y)
		default:
			t.f.vectors(t.a[i:i+n], t.b[j:j+n], y)
		}
	})
}

// scaleRows multiplies an array by one number for each of its rows, if that is what
// the operands are: channels by their gates, such as those of squeeze and excitation.
func scaleRows(c *kernel.Context, out Array, in []Array) bool {
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape)
	if l.size.n != 2 {
		return false
	}
	for i := range in {
		if l.stride[i].at[0] == 1 && l.inner(i) == 0 && l.inner(1-i) == 1 && in[1-i].Elements() == out.Elements() {
			kernel.ScaleChannels(c, Elem[float32](in[1-i]), Elem[float32](in[i]), nil, Elem[float32](out), 1, l.size.at[0], l.size.at[1])
			return true
		}
	}
	return false
}
