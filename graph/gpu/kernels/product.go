//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// halfBytes is the size of a bfloat16.
const halfBytes = 2

// Factor is a factor of a product. Its elements are float32 or, of a BF16 product,
// may be bfloat16 already.
type Factor struct {
	driver.Matrix
	BFloat16 bool
}

// From is the factor from an element on.
func (f Factor) From(i int) Factor {
	size := floatBytes
	if f.BFloat16 {
		size = halfBytes
	}
	f.Data += driver.Ptr(size * i)
	return f
}

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
func MultiplyWork(p driver.Precision, batch, m, n, k int, a, b Factor) int64 {
	return int64(roundedBytes(p, a, batch, m, k) + roundedBytes(p, b, batch, k, n))
}

// roundedBytes is the memory of a factor of rows × columns as a product of a
// precision reads it, 0 if it is that already.
func roundedBytes(p driver.Precision, f Factor, batch, rows, columns int) int {
	if p != driver.BF16 || f.BFloat16 {
		return 0
	}
	n, _ := spanOf(f.Matrix, batch, rows, columns) // rounded says what is wrong
	return aligned(halfBytes * n)
}

// rounded is a factor as a product of a precision reads it, put into work if it
// is not that already.
func rounded(q Queue, p driver.Precision, f Factor, batch, rows, columns int, work driver.Ptr) (driver.Matrix, error) {
	if f.BFloat16 && p != driver.BF16 {
		return f.Matrix, fmt.Errorf("product: a factor in bfloat16 of a product in %v", p)
	}
	if f.BFloat16 || p != driver.BF16 {
		return f.Matrix, nil
	}
	n, err := spanOf(f.Matrix, batch, rows, columns)
	if err != nil {
		return f.Matrix, err
	}
	from := f.Data
	f.Data = work
	return f.Matrix, ToBFloat16(q, from, work, n)
}

// Multiply computes C ← alpha·A·B + beta·C as the driver's GemmBatch does, for
// float32 matrices in any precision: with BF16 the factors that are not bfloat16
// are rounded to it in work first.
func Multiply(q Queue, p driver.Precision, batch, m, n, k int, alpha float32, a, b Factor, beta float32, c driver.Matrix, work driver.Ptr) error {
	x, y, err := factors(q, p, batch, m, n, k, a, b, work)
	if err != nil {
		return err
	}
	if batch == 1 {
		return q.Gemm(p, m, n, k, alpha, x, y, beta, c)
	}
	return q.GemmBatch(p, batch, m, n, k, alpha, x, y, beta, c)
}

// MultiplyAdd computes y ← A·B + bias + residual for y and residual [m, n] and
// bias [n], either of which may be 0 for none; y is neither of them. It takes the
// work of Multiply.
func MultiplyAdd(q Queue, p driver.Precision, m, n, k int, a, b Factor, bias, residual, y, work driver.Ptr) error {
	elements, err := product("product", mostBytes, m, n)
	if err != nil || elements == 0 {
		return err
	}
	x, w, err := factors(q, p, 1, m, n, k, a, b, work)
	if err != nil {
		return err
	}
	c := driver.Matrix{Data: y, Lead: n}
	if bias != 0 || residual != 0 {
		if done, err := q.GemmAdd(p, m, n, k, x, w, bias, residual, c); done || err != nil {
			return err
		}
	}
	if k == 0 { // the factors have no elements
		err = q.Clear(y, int64(floatBytes*elements))
	} else {
		err = q.Gemm(p, m, n, k, 1, x, w, 0, c)
	}
	if err != nil {
		return err
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

// factors are a and b as a product of a precision reads them.
func factors(q Queue, p driver.Precision, batch, m, n, k int, a, b Factor, work driver.Ptr) (x, y driver.Matrix, err error) {
	if x, err = rounded(q, p, a, batch, m, k, work); err != nil {
		return x, y, err
	}
	y, err = rounded(q, p, b, batch, k, n, work+driver.Ptr(roundedBytes(p, a, batch, m, k)))
	return x, y, err
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
