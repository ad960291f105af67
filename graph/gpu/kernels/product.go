//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// spanOf is the number of elements from a factor's first to its last, of a batch
// of matrices of rows × columns, or, stored as transposes, columns × rows.
func spanOf(f driver.Matrix, batch, rows, columns int) (int, error) {
	if f.Trans {
		rows, columns = columns, rows
	}
	if rows == 0 || columns == 0 || batch == 0 {
		return 0, nil
	}
	if f.Lead < columns || f.Stride < 0 {
		return 0, fmt.Errorf("product: rows of %d elements, %d apart, matrices %d apart", columns, f.Lead, f.Stride)
	}
	if f.Stride == 0 {
		batch = 1
	}
	return (batch-1)*int(f.Stride) + (rows-1)*f.Lead + columns, nil
}

// MultiplyWork is the scratch memory of Multiply, in bytes.
func MultiplyWork(p driver.Precision, batch, m, n, k int, a, b driver.Matrix) int64 {
	return int64(roundedBytes(p, a, batch, m, k) + roundedBytes(p, b, batch, k, n))
}

// roundedBytes is the memory of a factor of rows × columns as a product of a
// precision reads it, 0 if it is that already.
func roundedBytes(p driver.Precision, f driver.Matrix, batch, rows, columns int) int {
	if p != driver.BF16 || f.BFloat16 {
		return 0
	}
	n, _ := spanOf(f, batch, rows, columns) // rounding says what is wrong
	return aligned(halfBytes * n)
}

// rounding is what a product's factors, and another array perhaps, are before they
// are rounded to bfloat16, and after.
type rounding struct {
	from, to []Array
	size     []int
	work     driver.Ptr // what is free of it
}

// add returns the array of n elements rounded, which it is once run has returned.
func (r *rounding) add(x Array, n int) Array {
	y := Array{Data: r.work, BFloat16: true}
	r.from, r.to, r.size = append(r.from, x), append(r.to, y), append(r.size, n)
	r.work += driver.Ptr(aligned(halfBytes * n))
	return y
}

// factor returns a factor as a product of a precision reads it.
func (r *rounding) factor(p driver.Precision, f driver.Matrix, batch, rows, columns int) (driver.Matrix, error) {
	if f.BFloat16 || p != driver.BF16 {
		return f, nil // the driver refuses what is of another format
	}
	n, err := spanOf(f, batch, rows, columns)
	if err != nil {
		return f, err
	}
	return r.add(Float32(f.Data), n).matrix(f), nil
}

// run rounds two arrays at a time.
func (r *rounding) run(q Queue) error {
	for i := 0; i < len(r.from); i += 2 {
		var err error
		if i+1 < len(r.from) {
			err = convert(q, r.from[i], r.to[i], r.size[i], r.from[i+1], r.to[i+1], r.size[i+1])
		} else {
			err = Convert(q, r.from[i], r.to[i], r.size[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Multiply computes C ← alpha·A·B + beta·C as the driver's GemmBatch does, in any
// precision: with BF16 the factors that are not bfloat16 are rounded to it in work
// first.
func Multiply(q Queue, p driver.Precision, batch, m, n, k int, alpha float32, a, b driver.Matrix, beta float32, c driver.Matrix, work driver.Ptr) error {
	r := rounding{work: work}
	x, y, err := r.factors(p, batch, m, n, k, a, b)
	if err != nil {
		return err
	}
	if err := r.run(q); err != nil {
		return err
	}
	if batch == 1 {
		return q.Gemm(p, m, n, k, alpha, x, y, beta, c)
	}
	return q.GemmBatch(p, batch, m, n, k, alpha, x, y, beta, c)
}

// factors are a and b as a product of a precision reads them.
func (r *rounding) factors(p driver.Precision, batch, m, n, k int, a, b driver.Matrix) (x, y driver.Matrix, err error) {
	if x, err = r.factor(p, a, batch, m, k); err != nil {
		return x, y, err
	}
	y, err = r.factor(p, b, batch, k, n)
	return x, y, err
}

// MultiplyAddWork is the scratch memory of MultiplyAdd, in bytes.
func MultiplyAddWork(p driver.Precision, m, n, k int, a, b driver.Matrix) int64 {
	return MultiplyWork(p, 1, m, n, k, a, b) + int64(aligned(halfBytes*n))
}

// MultiplyAdd computes y ← A·B + bias + residual for y and residual [m, n] and a
// bias [n] of float32. bias and residual may be without an address, for none; y is
// neither of them. cuBLASLt adds the bias within the product. It adds a residual,
// too, where that and y are bfloat16; in float32 that takes longer than to add it,
// and the bias, afterwards.
func MultiplyAdd(q Queue, p driver.Precision, m, n, k int, a, b driver.Matrix, bias driver.Ptr, residual, y Array, work driver.Ptr) error {
	elements, err := product("product", mostBytes, m, n)
	if err != nil || elements == 0 {
		return err
	}
	r := rounding{work: work}
	x, w, err := r.factors(p, 1, m, n, k, a, b)
	if err != nil {
		return err
	}
	within, row := residual, bias // what cuBLASLt is asked to add
	if residual.Data != 0 && !(residual.BFloat16 && y.BFloat16) {
		within, row = Array{}, 0
	}
	if row != 0 && y.BFloat16 { // it takes a bias in the result's format only
		row = r.add(Float32(bias), n).Data
	}
	if err := r.run(q); err != nil {
		return err
	}
	c := y.matrix(driver.Matrix{Lead: n})
	if row != 0 || within.Data != 0 {
		if done, err := q.GemmAdd(p, m, n, k, x, w, row, within.Data, c); done || err != nil {
			return err
		}
	}
	if k == 0 { // the factors have no elements
		err = q.Clear(y.Data, y.Bytes(elements))
	} else {
		err = q.Gemm(p, m, n, k, 1, x, w, 0, c)
	}
	if err != nil {
		return err
	}
	switch shape := []int{m, n}; {
	case bias != 0 && residual.Data != 0:
		return BiasResidual(q, y, bias, residual, y, m, n)
	case bias != 0:
		return Binary(q, Add, y, shape, Float32(bias), shape[1:], y, shape)
	case residual.Data != 0:
		return Binary(q, Add, y, shape, residual, shape, y, shape)
	}
	return nil
}

// composed is the precision of products within Convolution, and within Attention
// where not all of its operands are bfloat16: BF16 is TF32, which is finer.
func composed(p driver.Precision) driver.Precision {
	if p == driver.BF16 {
		return driver.TF32
	}
	return p
}
