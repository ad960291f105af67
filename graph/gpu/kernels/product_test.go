//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
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

// addition is a product of which a bias or a matrix is added to the result.
type addition struct {
	m, n, k        int
	precision      driver.Precision
	bias, residual bool
	misaligned     bool // so that the fake cuBLASLt has no such product
	half           bool // in bfloat16 but the bias
}

func TestMultiplyAdd(t *testing.T) {
	for _, size := range [][3]int{{1, 1, 1}, {5, 7, 33}, {8, 12, 16}, {4, 8, 0}, {0, 4, 4}} {
		for p, tolerance := range map[driver.Precision]float64{driver.FP32: 2e-6, driver.TF32: 2e-3, driver.BF16: 1e-2} {
			for way := range 16 {
				k := addition{size[0], size[1], size[2], p, way&1 != 0, way&2 != 0, way&4 != 0, way&8 != 0}
				if k.half && p == driver.BF16 {
					t.Run(fmt.Sprintf("%+v", k), func(t *testing.T) { k.test(t, 2e-2) })
				} else if !k.half {
					t.Run(fmt.Sprintf("%+v", k), func(t *testing.T) { k.test(t, tolerance) })
				}
			}
		}
	}
}

func (k addition) test(t *testing.T, tolerance float64) {
	d := open(t)
	x, w, bias, residual := d.normal(k.m*k.k), d.normal(k.k*k.n), d.normal(k.n), d.normal(k.m*k.n)
	want := d.forward(op.Linear{}, doubles(x, k.m, k.k), doubles(w, k.k, k.n))
	array := func(x []float32) kernels.Array { // one element further on, if misaligned
		if k.misaligned {
			x = append([]float32{0}, x...)
		}
		a := kernels.Float32(upload(d, x))
		if k.half {
			a = kernels.Array{Data: upload(d, shorten(d, x)), BFloat16: true}
		}
		if k.misaligned {
			a = a.From(1)
		}
		return a
	}
	var added kernels.Array
	var row driver.Ptr
	if k.bias {
		row = upload(d, append([]float32{0}, bias...)) + 4
		if !k.misaligned {
			row = upload(d, bias)
		}
		want = d.forward(op.Add{}, want, doubles(bias, k.n))
	}
	if k.residual {
		added = array(residual)
		want = d.forward(op.Add{}, want, doubles(residual, k.m, k.n))
	}
	a, b := array(x), driver.Matrix{Data: upload(d, w), Lead: max(1, k.n)}
	factor := driver.Matrix{Data: a.Data, Lead: max(1, k.k), BFloat16: a.BFloat16}
	work := d.memory(kernels.MultiplyAddWork(k.precision, k.m, k.n, k.k, factor, b))
	multiply := func(y driver.Ptr) error {
		return kernels.MultiplyAdd(d.q, k.precision, k.m, k.n, k.k, factor, b, row, added, kernels.Array{Data: y, BFloat16: k.half}, work)
	}
	var y []float32
	if k.half {
		y = lengthen(result[uint16](d, k.m*k.n, multiply))
	} else {
		y = d.result(k.m*k.n, multiply)
	}
	d.close("product", y, op.Elem[float64](want), tolerance)

	// One launch besides one that rounds, if cuBLASLt adds.
	if fake.Real() || k.m*k.n*k.k == 0 || k.misaligned {
		return
	}
	fake.Set(t, fake.Faults{})
	d.do(multiply(d.memory(int64(4 * k.m * k.n))))
	expected := 1
	if k.residual && !k.half {
		expected++
	}
	if k.precision == driver.BF16 {
		expected++
	}
	if n := fake.Count(fake.Launches); n != expected {
		t.Errorf("%d launches, expected %d", n, expected)
	}
}

// TestFactorsInBFloat16: what is rounded already is not rounded again, and gives the
// same bits.
func TestFactorsInBFloat16(t *testing.T) {
	d := open(t)
	const m, n, k = 5, 7, 33
	x, w := d.normal(m*k), d.normal(k*n)
	a, b := driver.Matrix{Data: upload(d, x), Lead: k}, driver.Matrix{Data: upload(d, w), Lead: n}
	halfA, halfB := a, b
	halfA.Data, halfA.BFloat16 = upload(d, shorten(d, x)), true
	halfB.Data, halfB.BFloat16 = upload(d, shorten(d, w)), true
	multiply := func(p driver.Precision, a, b driver.Matrix) func(y driver.Ptr) error {
		work := d.memory(kernels.MultiplyWork(p, 1, m, n, k, a, b))
		return func(y driver.Ptr) error {
			return kernels.Multiply(d.q, p, 1, m, n, k, 1, a, b, 0, driver.Matrix{Data: y, Lead: n}, work)
		}
	}
	want := d.result(m*n, multiply(driver.BF16, a, b))
	for i, f := range [][2]driver.Matrix{{halfA, b}, {a, halfB}, {halfA, halfB}} {
		if got := d.result(m*n, multiply(driver.BF16, f[0], f[1])); !slices.Equal(got, want) {
			t.Errorf("factors %d: %v, expected %v", i, got, want)
		}
	}
	if err := multiply(driver.TF32, halfA, b)(d.memory(4 * m * n)); err == nil {
		t.Error("a product in TF32 takes a factor in bfloat16")
	}
}
