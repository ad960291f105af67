//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

func TestMultiply(t *testing.T) {
	tolerances := map[driver.Precision]float64{driver.FP32: 2e-6, driver.TF32: 2e-3, driver.BF16: 1e-2}
	for _, size := range [][4]int{{1, 1, 1, 1}, {1, 5, 7, 33}, {3, 4, 6, 20}, {2, 0, 3, 4}, {2, 3, 4, 0}} {
		for p, tolerance := range tolerances {
			for trans := range 4 {
				t.Run(fmt.Sprint(size, p, trans), func(t *testing.T) {
					d := open(t)
					batch, m, n, k := size[0], size[1], size[2], size[3]
					o := op.MatMul{TransA: trans&1 != 0, TransB: trans&2 != 0}
					shapeA, shapeB := []int{batch, m, k}, []int{batch, k, n}
					if o.TransA {
						shapeA = []int{batch, k, m}
					}
					if o.TransB {
						shapeB = []int{batch, n, k}
					}
					x, y := d.normal(count(shapeA...)), d.normal(count(shapeB...))
					a := driver.Matrix{Data: upload(d, x), Lead: max(1, shapeA[2]), Stride: int64(m * k), Trans: o.TransA}
					b := driver.Matrix{Data: upload(d, y), Lead: max(1, shapeB[2]), Stride: int64(k * n), Trans: o.TransB}
					work := d.memory(kernels.MultiplyWork(p, batch, m, n, k, a, b))
					z := d.result(batch*m*n, func(z driver.Ptr) error {
						return kernels.Multiply(d.q, p, batch, m, n, k, 2, a, b, 0, driver.Matrix{Data: z, Lead: n, Stride: int64(m * n)}, work)
					})
					want := d.want(o, doubles(x, shapeA...), doubles(y, shapeB...))
					for i := range want {
						want[i] *= 2
					}
					d.close("product", z, want, tolerance)
				})
			}
		}
	}
}
