//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// halfBytes is the size of a bfloat16.
const halfBytes = 2

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
	if p != driver.BF16 {
		return 0
	}
	x, _ := spanOf(a, batch, m, k)
	y, _ := spanOf(b, batch, k, n)
	return int64(aligned(halfBytes*x) + aligned(halfBytes*y))
}

// Multiply computes C ← alpha·A·B + beta·C as the driver's GemmBatch does, for
// float32 matrices in any precision: with BF16 the factors are rounded to
// bfloat16 in work first.
func Multiply(q Queue, p driver.Precision, batch, m, n, k int, alpha float32, a, b driver.Matrix, beta float32, c driver.Matrix, work driver.Ptr) error {
	a, b, err := factors(q, p, batch, m, n, k, a, b, work)
	if err != nil {
		return err
	}
	if batch == 1 {
		return q.Gemm(p, m, n, k, alpha, a, b, beta, c)
	}
	return q.GemmBatch(p, batch, m, n, k, alpha, a, b, beta, c)
}

// MultiplyAdd computes y ← A·B + bias + residual for y and residual [m, n] and
// bias [n], either of which may be 0 for none; y is neither of them. It takes the
// work of Multiply.
func MultiplyAdd(q Queue, p driver.Precision, m, n, k int, a, b driver.Matrix, bias, residual, y, work driver.Ptr) error {
	elements, err := product("product", mostBytes, m, n)
	if err != nil || elements == 0 {
		return err
	}
	if k == 0 { // the factors have no elements
		err = q.Clear(y, int64(floatBytes*elements))
	} else {
		a, b, err = factors(q, p, 1, m, n, k, a, b, work)
	}
	if err != nil {
		return err
	}
	c := driver.Matrix{Data: y, Lead: n}
	if bias != 0 || residual != 0 {
		if done, err := q.GemmAdd(p, m, n, k, a, b, bias, residual, c); done || err != nil {
			return err
		}
	}
	if k > 0 {
		if err := q.Gemm(p, m, n, k, 1, a, b, 0, c); err != nil {
			return err
		}
	}
	switch shape := []int{m, n}; {
	case bias != 0 && residual != 0:
		return BiasResidual(q, y, bias, residual, y, m, n)
	case bias != 0:
		return Binary(q, Add, y, shape, bias, shape[1:], y, shape)
	case residual != 0:
		return Binary(q, Add, y, shape, residual, shape, y, shape)
	}
	return nil
}

// factors are a and b as a product of a precision reads them, in work where that
// is not how they are.
func factors(q Queue, p driver.Precision, batch, m, n, k int, a, b driver.Matrix, work driver.Ptr) (x, y driver.Matrix, err error) {
	if p != driver.BF16 {
		return a, b, nil
	}
	sizeA, err := spanOf(a, batch, m, k)
	if err != nil {
		return a, b, err
	}
	sizeB, err := spanOf(b, batch, k, n)
	if err != nil {
		return a, b, err
	}
	x, y = a, b
	x.Data, y.Data = work, work+driver.Ptr(aligned(halfBytes*sizeA))
	if err := ToBFloat16(q, a.Data, x.Data, sizeA); err != nil {
		return a, b, err
	}
	return x, y, ToBFloat16(q, b.Data, y.Data, sizeB)
}

// composed is the precision of products within Convolution and Attention, whose
// factors are made on the way: they stay float32, so that BF16 is TF32, which is
// finer.
func composed(p driver.Precision) driver.Precision {
	if p == driver.BF16 {
		return driver.TF32
	}
	return p
}
