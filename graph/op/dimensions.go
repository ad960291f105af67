package op

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// maxElements bounds the elements of any one value: above it a shape is a
// mistake in the file, and products of sizes could overflow.
const maxElements = 1 << 40

// maxRank is the most dimensions that a value may have, as in NumPy and PyTorch.
const maxRank = 64

// sized returns t, or an error where a size is negative or the rank or the
// whole absurd.
func sized(t Type) (Type, error) {
	if len(t.Shape) > maxRank {
		return Type{}, fmt.Errorf("rank %d, at most %d is supported", len(t.Shape), maxRank)
	}
	n := uint64(1)
	for _, d := range t.Shape {
		if d < 0 {
			return Type{}, fmt.Errorf("negative size in shape %v", t.Shape)
		}
		// Sizes of 0 count as 1, so that no product of the others overflows.
		hi, lo := bits.Mul64(n, uint64(max(d, 1)))
		if hi != 0 || lo > maxElements {
			return Type{}, fmt.Errorf("shape %v has more than %d elements", t.Shape, maxElements)
		}
		n = lo
	}
	return t, nil
}

// single checks that there is exactly one input and returns its type.
func single(in []Type) (Type, error) {
	if len(in) != 1 {
		return Type{}, fmt.Errorf("expected 1 input, found %d", len(in))
	}
	return in[0], nil
}

// resolveAxis maps an axis in [-rank, rank) to [0, rank).
func resolveAxis(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d is outside a tensor of rank %d", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// resolveAxes maps several axes, which must differ, and sorts them.
func resolveAxes(axes []int64, rank int) ([]int, error) {
	resolved := make([]int, len(axes))
	for i, a := range axes {
		var err error
		if resolved[i], err = resolveAxis(a, rank); err != nil {
			return nil, err
		}
	}
	slices.Sort(resolved)
	if len(slices.Compact(slices.Clone(resolved))) != len(resolved) {
		return nil, fmt.Errorf("axes %v name one axis twice", axes)
	}
	return resolved, nil
}

// toSizes converts sizes read from a file.
func toSizes(v []int64) ([]int, error) {
	sizes := make([]int, len(v))
	for i, x := range v {
		if x < 0 || x > math.MaxInt32 {
			return nil, fmt.Errorf("size %d (element %d of %v) is out of range", x, i, v)
		}
		sizes[i] = int(x)
	}
	return sizes, nil
}

// without returns shape less the dimension at axis.
func without(shape []int, axis int) []int {
	return slices.Delete(slices.Clone(shape), axis, axis+1)
}

// replaced returns shape with another size at axis.
func replaced(shape []int, axis, size int) []int {
	s := slices.Clone(shape)
	s[axis] = size
	return s
}

// around returns the numbers of elements before and after an axis: the array
// is [outer, shape[axis], inner].
func around(shape []int, axis int) (outer, inner int) {
	return elements(shape[:axis]), elements(shape[axis+1:])
}
