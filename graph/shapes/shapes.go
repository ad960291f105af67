package shapes

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// MaxElements bounds the elements of any one value: above it a shape is a
// mistake in the file, and products of sizes could overflow.
const MaxElements = 1 << 40

// MaxRank is the most dimensions that a value may have, as in NumPy and PyTorch.
const MaxRank = 64

// Check returns an error where a size is negative or the rank or the number of
// elements absurd.
func Check(shape []int) error {
	if len(shape) > MaxRank {
		return fmt.Errorf("rank %d, at most %d is supported", len(shape), MaxRank)
	}
	n := uint64(1)
	for _, d := range shape {
		if d < 0 {
			return fmt.Errorf("negative size in shape %v", shape)
		}
		// Sizes of 0 count as 1, so that no product of the others overflows.
		hi, lo := bits.Mul64(n, uint64(max(d, 1)))
		if hi != 0 || lo > MaxElements {
			return fmt.Errorf("shape %v has more than %d elements", shape, MaxElements)
		}
		n = lo
	}
	return nil
}

// Elements is the product of the sizes; 1 for rank 0.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// RowMajor returns the strides, in elements, of an array without gaps whose last
// dimension is contiguous.
func RowMajor(shape []int) []int {
	strides := make([]int, len(shape))
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= shape[i]
	}
	return strides
}

// Axis maps an axis in [-rank, rank) to [0, rank).
func Axis(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d is outside a tensor of rank %d", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// Axes maps several axes as [Axis] does, which must differ, and sorts them.
func Axes(axes []int64, rank int) ([]int, error) {
	resolved := make([]int, len(axes))
	for i, a := range axes {
		var err error
		if resolved[i], err = Axis(a, rank); err != nil {
			return nil, err
		}
	}
	slices.Sort(resolved)
	if len(slices.Compact(slices.Clone(resolved))) != len(resolved) {
		return nil, fmt.Errorf("axes %v name one axis twice", axes)
	}
	return resolved, nil
}

// AxesFrom returns the axes of a rank from one on.
func AxesFrom(axis, rank int) []int {
	var axes []int
	for ; axis < rank; axis++ {
		axes = append(axes, axis)
	}
	return axes
}

// Sizes converts sizes read from a file; negative ones and those that no
// dimension can have are errors.
func Sizes(v []int64) ([]int, error) {
	sizes := make([]int, len(v))
	for i, x := range v {
		if x < 0 || x > math.MaxInt32 {
			return nil, fmt.Errorf("size %d (element %d of %v) is out of range", x, i, v)
		}
		sizes[i] = int(x)
	}
	return sizes, nil
}

// Broadcast returns the shape that shapes broadcast to by the rule of
// ONNX and NumPy: aligned at the last dimension, sizes agree or one of them
// is 1.
func Broadcast(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		lead := rank - len(s)
		for i, d := range s {
			switch o := &out[lead+i]; {
			case *o == 1:
				*o = d
			case d != 1 && d != *o:
				return nil, fmt.Errorf("shapes %v do not broadcast: dimension %d counted from the last is %d and %d", shapes, rank-lead-i, *o, d)
			}
		}
	}
	return out, nil
}

// Ones is the shape of n dimensions of size 1.
func Ones(n int) []int {
	shape := make([]int, n)
	for i := range shape {
		shape[i] = 1
	}
	return shape
}

// Without returns shape less the dimension at axis.
func Without(shape []int, axis int) []int {
	return slices.Delete(slices.Clone(shape), axis, axis+1)
}

// Replaced returns shape with another size at axis.
func Replaced(shape []int, axis, size int) []int {
	s := slices.Clone(shape)
	s[axis] = size
	return s
}

// Around returns the numbers of elements before and after an axis: the array
// is [outer, shape[axis], inner].
func Around(shape []int, axis int) (outer, inner int) {
	return Elements(shape[:axis]), Elements(shape[axis+1:])
}
