package onnx

import (
	"fmt"
	"math"
	"slices"
)

// Grid is the arithmetic of QuantizeLinear and DequantizeLinear for one tensor:
// x = (q − z)·s, and back q = saturate(round(x/s) + z), ties to even, as the
// ONNX operator specification defines them. s and z are those of the element's
// group: one group is the whole tensor, or an index of one axis, or a block of
// indices of it.
type Grid struct {
	DType DType // of q
	Float DType // of x: FLOAT, FLOAT16 or BFLOAT16
	// Axis is the axis along which s and z change, -1 where they do not.
	Axis int
	// BlockSize is how many indices of Axis share s and z; with 0 each has its
	// own, for all other axes.
	BlockSize int
	Scale     []float32 // by group
	Zero      []int64   // by group; nil where all are 0
}

// CanQuantize reports whether d is a type of q that is supported here: an
// integer of 4, 8 or 16 bits, or INT32.
func (d DType) CanQuantize() bool {
	switch d {
	case Int4, Uint4, Int8, Uint8, Int16, Uint16, Int32:
		return true
	}
	return false
}

// GridAxis returns Axis and BlockSize of the [Grid] of a tensor, from the shape
// of its scale and the attributes axis and block_size of the node. An error says
// what does not fit.
func GridAxis(shape, scale []int, axis, blockSize int64) (int, int, error) {
	if n, ok := product(scale); ok && n == 1 && len(scale) <= 1 {
		return -1, 0, nil
	}
	rank := int64(len(shape))
	if axis < 0 {
		axis += rank
	}
	if axis < 0 || axis >= rank {
		return 0, 0, fmt.Errorf("axis %d of shape %v", axis, shape)
	}
	a := int(axis)
	if len(scale) == 1 && blockSize == 0 {
		if scale[0] != shape[a] {
			return 0, 0, fmt.Errorf("a scale of shape %v for axis %d of shape %v", scale, a, shape)
		}
		return a, 0, nil
	}
	if blockSize <= 0 || blockSize > math.MaxInt32 {
		return 0, 0, fmt.Errorf("a scale of shape %v with block_size %d", scale, blockSize)
	}
	want := slices.Clone(shape)
	want[a] = (shape[a] + int(blockSize) - 1) / int(blockSize)
	if !slices.Equal(want, scale) {
		return 0, 0, fmt.Errorf("a scale of shape %v for blocks of %d along axis %d of shape %v, expected %v", scale, blockSize, a, shape, want)
	}
	return a, int(blockSize), nil
}

// Groups returns the function that leads from an element, by its place in
// row-major order, to its group.
func (g *Grid) Groups(shape []int) func(i int) int {
	if g.Axis < 0 {
		return func(int) int { return 0 }
	}
	size, inner := shape[g.Axis], 1
	for _, d := range shape[g.Axis+1:] {
		inner *= d
	}
	if g.BlockSize == 0 {
		return func(i int) int { return i / inner % size }
	}
	blocks := (size + g.BlockSize - 1) / g.BlockSize
	return func(i int) int {
		outer, at := i/(inner*size), i/inner%size
		return (outer*blocks+at/g.BlockSize)*inner + i%inner
	}
}

func (g *Grid) zero(group int) int64 {
	if g.Zero == nil {
		return 0
	}
	return g.Zero[group]
}

// Range returns the smallest and the largest q.
func (g *Grid) Range() (lo, hi int64) {
	bits := g.DType.Bits()
	if g.DType.signed() {
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, 1<<bits - 1
}

// Value returns the x of q in a group, rounded to the type Float.
func (g *Grid) Value(q int64, group int) float32 {
	return narrowed(g.Float, float32(q-g.zero(group))*g.Scale[group])
}

// narrowed rounds to a 16-bit type; of other types it returns x.
func narrowed(d DType, x float32) float32 {
	narrow, widen := halves(d)
	if narrow == nil {
		return x
	}
	bits, _ := narrow(x)
	return widen(bits)
}

// Quantize returns the q of x in a group, as QuantizeLinear computes it in
// float32: what lies beyond the range becomes its nearest end, NaN becomes z.
// inside says that it was not beyond.
func (g *Grid) Quantize(x float32, group int) (q int64, inside bool) {
	lo, hi := g.Range()
	z := g.zero(group)
	y := math.RoundToEven(float64(x/g.Scale[group])) + float64(z)
	switch {
	case y != y:
		return z, false
	case y < float64(lo):
		return lo, false
	case y > float64(hi):
		return hi, false
	}
	return int64(y), true
}

// nearest returns the q whose value is nearest to x. It is that of Quantize but
// where rounding, of a large INT32 to float32 or of the value to a half, makes
// neighbours closer or equal.
func (g *Grid) nearest(x float32, group int) int64 {
	q, _ := g.Quantize(x, group)
	if g.Float == Float && g.DType != Int32 {
		return q
	}
	distance := func(q int64) float64 { return math.Abs(float64(g.Value(q, group)) - float64(x)) }
	step := int64(1)
	if g.DType == Int32 { // as far as neighbours of float32 are apart
		step = max(1, int64(math.Nextafter32(float32(math.Abs(float64(q))), math.MaxFloat32)-float32(math.Abs(float64(q)))))
	}
	lo, hi := g.Range()
	best, least := q, distance(q)
	for _, other := range []int64{q - step, q + step} {
		if d := distance(other); other >= lo && other <= hi && d < least {
			best, least = other, d
		}
	}
	return best
}
