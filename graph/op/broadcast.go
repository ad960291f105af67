package op

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// loops is the nest of loops that computes a broadcast result: adjacent
// dimensions along which every operand keeps moving, or keeps standing still,
// are merged, so that the innermost loop is as long as it can be.
type loops struct {
	size   []int   // of each loop, outermost first; never empty
	stride [][]int // stride[k][i] is operand k's step along loop i, in elements
}

// newLoops plans the loops over out for operands of the given shapes, all of
// which broadcast to out.
func newLoops(out []int, operands ...[]int) loops {
	l := loops{stride: make([][]int, len(operands))}
	step := make([]int, len(operands)) // contiguous stride of each operand at dimension i
	for k := range step {
		step[k] = 1
	}
	// From the innermost dimension outwards; reversed at the end.
	for i := len(out) - 1; i >= 0; i-- {
		if out[i] == 1 {
			continue
		}
		here := make([]int, len(operands))
		for k, s := range operands {
			if j := i - (len(out) - len(s)); j >= 0 && s[j] != 1 {
				here[k] = step[k]
				step[k] *= s[j]
			}
		}
		last := len(l.size) - 1
		merge := last >= 0
		for k := range operands {
			merge = merge && here[k] == l.stride[k][last]*l.size[last]
		}
		if merge {
			l.size[last] *= out[i]
			continue
		}
		l.size = append(l.size, out[i])
		for k := range operands {
			l.stride[k] = append(l.stride[k], here[k])
		}
	}
	if len(l.size) == 0 {
		l.size = []int{1}
		for k := range operands {
			l.stride[k] = []int{1}
		}
	}
	slices.Reverse(l.size)
	for _, s := range l.stride {
		slices.Reverse(s)
	}
	return l
}

// inner returns operand k's step along the innermost loop: 1, or 0 where it is
// one element repeated.
func (l loops) inner(k int) int { return l.stride[k][len(l.size)-1] }

// rows calls f for each stretch of the innermost loop within the elements
// [lo, hi) of the result: its first element, its length and the operands'
// offsets, a slice that is reused.
func (l loops) rows(lo, hi int, f func(at, n int, offset []int)) {
	last := len(l.size) - 1
	index := make([]int, len(l.size))
	offset := make([]int, len(l.stride))
	rest := lo
	for i := last; i >= 0; i-- {
		index[i] = rest % l.size[i]
		rest /= l.size[i]
		for k := range offset {
			offset[k] += index[i] * l.stride[k][i]
		}
	}
	for at := lo; at < hi; {
		n := min(l.size[last]-index[last], hi-at)
		f(at, n, offset)
		at += n
		if at == hi {
			return
		}
		// The stretch ended its row: back to the row's start, on to the next.
		for k := range offset {
			offset[k] -= index[last] * l.stride[k][last]
		}
		index[last] = 0
		for i := last - 1; i >= 0; i-- {
			index[i]++
			for k := range offset {
				offset[k] += l.stride[k][i]
			}
			if index[i] < l.size[i] {
				break
			}
			for k := range offset {
				offset[k] -= l.size[i] * l.stride[k][i]
			}
			index[i] = 0
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
	a, b, y := Elem[T](in[0]), Elem[T](in[1]), Elem[R](out)
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape)
	c.Items(len(y), 1, func(lo, hi int) {
		l.rows(lo, hi, func(at, n int, offset []int) {
			i, j, y := offset[0], offset[1], y[at:at+n]
			switch {
			case l.inner(0) == 0:
				f.left(a[i], b[j:j+n], y)
			case l.inner(1) == 0:
				f.right(a[i:i+n], b[j], y)
			default:
				f.vectors(a[i:i+n], b[j:j+n], y)
			}
		})
	})
}

// scaleRows multiplies an array by one number for each of its rows, if that is what
// the operands are: channels by their gates, such as those of squeeze and excitation.
func scaleRows(c *kernel.Context, out Array, in []Array) bool {
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape)
	if len(l.size) != 2 {
		return false
	}
	for i := range in {
		if l.stride[i][0] == 1 && l.inner(i) == 0 && l.inner(1-i) == 1 && in[1-i].Elements() == out.Elements() {
			kernel.ScaleChannels(c, Elem[float32](in[1-i]), Elem[float32](in[i]), nil, Elem[float32](out), 1, l.size[0], l.size[1])
			return true
		}
	}
	return false
}
