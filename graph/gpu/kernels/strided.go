//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// Operator is a function of two elements, a and b.
type Operator string

// The operators.
const (
	Add           Operator = "add"
	Sub           Operator = "sub"
	Mul           Operator = "mul"
	Div           Operator = "div"
	Pow           Operator = "pow"
	PowByBase     Operator = "pow_by_base"     // the derivative of a^b by a
	PowByExponent Operator = "pow_by_exponent" // by b; 0 where a is 0
	Max           Operator = "max"             // NaN where one of them is
	Min           Operator = "min"             // likewise
)

// Binary computes y = f(a, b) for a of aShape and b of bShape, broadcast to y's
// shape by the rule of ONNX and NumPy. y may be an operand of the same shape.
func Binary(q Queue, f Operator, a Array, aShape []int, b Array, bShape []int, y Array, shape []int) error {
	return broadcast(q, "binary_"+string(f), pointers(a.Data, b.Data, y.Data), formats(a, b, y), shape, aShape, bShape)
}

// Comparison is a comparison of two elements, false where one of them is NaN.
// Greater is Less of the operands in the other order.
type Comparison string

// The comparisons.
const (
	Equal       Comparison = "equal"
	Less        Comparison = "less"
	LessOrEqual Comparison = "less_or_equal"
)

// Compare computes the truth values y, bytes, of a comparison of a and b,
// broadcast as by Binary.
func Compare(q Queue, f Comparison, a driver.Ptr, aShape []int, b driver.Ptr, bShape []int, y driver.Ptr, shape []int) error {
	return broadcast(q, "compare_"+string(f), pointers(a, b, y), nil, shape, aShape, bShape)
}

// Select computes y = a where the condition c (bytes) holds, else b, broadcast as
// by Binary. An operand that is 0 counts as zeros: a mask.
func Select(q Queue, c driver.Ptr, cShape []int, a driver.Ptr, aShape []int, b driver.Ptr, bShape []int, y driver.Ptr, shape []int) error {
	return broadcast(q, "choose", pointers(c, a, b, y), nil, shape, cShape, aShape, bShape)
}

// broadcast launches a kernel over a nest of loops, with operands of shapes that
// broadcast to that of the result.
func broadcast(q Queue, kernel string, addresses, formats []driver.Arg, shape []int, operands ...[]int) error {
	n, err := product(kernel, mostInt, shape...)
	if err != nil || n == 0 {
		return err
	}
	strides := make([][]int, len(operands))
	for i, operand := range operands {
		if strides[i], err = broadcastStrides(kernel, operand, shape); err != nil {
			return err
		}
	}
	loops, err := newNest(kernel, shape, strides...)
	if err != nil {
		return err
	}
	inner := loops[len(loops)-1]
	rows, nest := nestArguments(len(operands), loops[:len(loops)-1], inner)
	return q.launch(kernel, overRows(rows, inner.size), addresses, ints(rows, inner.size), nest, formats)
}

// Placement says where the elements of a nest of loops lie: element Offset +
// Σ index[i]·Strides[i] of an array. A stride may be negative, or 0 for an
// element that is read again and again.
type Placement struct {
	Array
	Offset  int
	Strides []int
}

// Contiguous is the placement of a row-major array.
func Contiguous(a Array, shape []int) Placement {
	return Placement{Array: a, Strides: shapes.RowMajor(shape)}
}

// Move copies the elements of a nest of loops over a shape from one placement
// to another: Transpose, Slice, Concat, Expand, Pad, the cutting into patches
// and heads; from one format to another, too. Targets must not overlap, nor targets and sources.
func Move(q Queue, shape []int, dst, src Placement) error {
	n, err := product("copy", mostInt, shape...)
	if err != nil || n == 0 {
		return err
	}
	loops, err := newNest("copy", shape, src.Strides, dst.Strides)
	if err != nil {
		return err
	}
	to, from := dst.From(dst.Offset), src.From(src.Offset)
	last := len(loops) - 1
	inner := loops[last]
	if last == 0 && inner.steps[0] == 1 && inner.steps[1] == 1 {
		if to.BFloat16 != from.BFloat16 {
			return Convert(q, from, to, n)
		}
		return q.Copy(to.Data, from.Data, to.Bytes(n))
	}
	if k := transposed(loops); k >= 0 {
		columns := loops[k]
		outer := append(append([]loop{}, loops[:k]...), loops[k+1:last]...)
		rows, nest := nestArguments(2, outer, inner)
		tiles := blocksOf(columns.size, 32) * blocksOf(inner.size, 32)
		return q.launch("copy_transposed", grid{[3]int{tiles, min(rows, mostBlocksY), 1}, [3]int{32, 8, 1}},
			pointers(from.Data, to.Data), ints(rows, columns.size, inner.size, columns.steps[1]), nest, formats(from, to))
	}
	rows, nest := nestArguments(2, loops[:last], inner)
	return q.launch("copy_strided", overRows(rows, inner.size), pointers(from.Data, to.Data), ints(rows, inner.size), nest, formats(from, to))
}

// transposed returns the loop along which the source is contiguous where that
// is not the innermost one and both are long enough for tiles, else −1.
func transposed(loops []loop) int {
	const long = 8
	inner := loops[len(loops)-1]
	if inner.steps[0] == 1 || inner.steps[0] == 0 || inner.size < long {
		return -1
	}
	for i, l := range loops[:len(loops)-1] {
		if l.steps[0] == 1 && l.size >= long {
			return i
		}
	}
	return -1
}

// Gather takes, of x [outer, size, inner], the slices that count indices (int64)
// name; negative ones count from the end. y is [outer, count, inner]; a slice
// whose index is out of range is NaN.
func Gather(q Queue, x Array, index driver.Ptr, y Array, outer, size, inner, count int) error {
	n, err := product("gather", mostInt, outer, count, inner)
	if err != nil || n == 0 {
		return err
	}
	if size <= 0 || size > mostInt {
		return fmt.Errorf("gather: slices of a dimension of size %d", size)
	}
	return q.launch("gather", overRows(outer*count, inner), pointers(x.Data, index, y.Data), ints(outer*count, count, size, inner), formats(x, y))
}

// GatherGrad adds the slices of dy [outer, count, inner] up, in order, where
// Gather took them from: dx is [outer, size, inner]. Its work is size·count for
// each outer and inner element: for few indices.
func GatherGrad(q Queue, dy Array, index driver.Ptr, dx Array, outer, size, inner, count int) error {
	n, err := product("gather_grad", mostInt, outer, size, inner)
	if err != nil || n == 0 {
		return err
	}
	if count < 0 || count > mostInt {
		return fmt.Errorf("gather_grad: %d indices", count)
	}
	if count == 0 {
		return Fill(q, dx, 0, n)
	}
	return q.launch("gather_grad", overRows(outer*size, inner), pointers(dy.Data, index, dx.Data), ints(outer*size, count, size, inner), formats(dy, dx))
}
