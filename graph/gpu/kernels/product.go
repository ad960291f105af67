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
	if p == driver.BF16 {
		x, err := spanOf(a, batch, m, k)
		if err != nil {
			return err
		}
		y, err := spanOf(b, batch, k, n)
		if err != nil {
			return err
		}
		halfA, halfB := work, work+driver.Ptr(aligned(halfBytes*x))
		if err := ToBFloat16(q, a.Data, halfA, x); err != nil {
			return err
		}
		if err := ToBFloat16(q, b.Data, halfB, y); err != nil {
			return err
		}
		a.Data, b.Data = halfA, halfB
	}
	if batch == 1 {
		return q.Gemm(p, m, n, k, alpha, a, b, beta, c)
	}
	return q.GemmBatch(p, batch, m, n, k, alpha, a, b, beta, c)
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
