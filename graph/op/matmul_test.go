package op_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestMatMulGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, test := range []struct {
			o    op.MatMul
			a, b []int
		}{
			{op.MatMul{}, []int{3, 4}, []int{4, 2}},
			{op.MatMul{Alpha: 0.5}, []int{2, 3, 4}, []int{4, 5}},
			{op.MatMul{TransB: true}, []int{2, 3, 4}, []int{5, 4}},
			{op.MatMul{TransB: true}, []int{2, 3, 4}, []int{1, 5, 4}},
			{op.MatMul{TransA: true, Alpha: 3}, []int{2, 4, 3}, []int{4, 5}},
			{op.MatMul{TransA: true, TransB: true}, []int{2, 4, 3}, []int{2, 5, 4}},
			{op.MatMul{TransB: true, Alpha: 2}, []int{2, 3, 2, 4}, []int{2, 3, 5, 4}},
			{op.MatMul{}, []int{2, 1, 2, 3}, []int{4, 3, 2}},
			{op.MatMul{}, []int{2, 3}, []int{2, 2, 3, 2}},
			{op.MatMul{}, []int{1, 3, 2, 2}, []int{2, 1, 2, 3}},
		} {
			t.Run(fmt.Sprint(test), func(t *testing.T) {
				r := optest.Random()
				optest.Gradient(t, on, test.o, optest.Normal(r, test.a...), optest.Normal(r, test.b...))
			})
		}
	})
}

func TestMatMulInts(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		matrix := func(v ...int64) op.Array {
			return op.Array{Type: op.Type{DType: onnx.Uint8, Shape: []int{2, 2}}, Data: v}
		}
		y := optest.Compute(t, on, op.MatMul{TransB: true}, matrix(1, 2, 3, 200), matrix(1, 0, 2, 3))
		testdevice.CloseTo(t, "product", y.AsFloats(), []float64{1, 8, 3, float64((6 + 600) % 256)}, 0)
	})
}

func TestLinearGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		optest.Gradient(t, on, op.Linear{}, optest.Normal(r, 2, 3, 4), optest.Normal(r, 4, 5))
		optest.Gradient(t, on, op.Linear{}, optest.Normal(r, 3, 4), optest.Normal(r, 4, 5), optest.Normal(r, 5))
		optest.Gradient(t, on, op.Linear{TransW: true}, optest.Normal(r, 2, 3, 4), optest.Normal(r, 5, 4), optest.Normal(r, 5))
	})
}
