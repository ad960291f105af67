package op_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestMatMulGradient(t *testing.T) {
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
			optest.Gradient(t, test.o, optest.Normal(r, test.a...), optest.Normal(r, test.b...))
		})
	}
}

func TestMatMulInts(t *testing.T) {
	p := op.NewProgram(0)
	a := p.Constant(op.Array{Type: op.Type{DType: onnx.Uint8, Shape: []int{2, 2}}, Data: []int64{1, 2, 3, 200}})
	b := p.Constant(op.Array{Type: op.Type{DType: onnx.Uint8, Shape: []int{2, 2}}, Data: []int64{1, 0, 2, 3}})
	y, err := p.Emit(op.MatMul{TransB: true}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	optest.CloseTo(t, "product", y.Const.AsFloats(), []float64{1, 8, 3, float64((6 + 600) % 256)}, 0)
}

func TestLinearGradient(t *testing.T) {
	r := optest.Random()
	optest.Gradient(t, op.Linear{}, optest.Normal(r, 2, 3, 4), optest.Normal(r, 4, 5))
	optest.Gradient(t, op.Linear{}, optest.Normal(r, 3, 4), optest.Normal(r, 4, 5), optest.Normal(r, 5))
	optest.Gradient(t, op.Linear{TransW: true}, optest.Normal(r, 2, 3, 4), optest.Normal(r, 5, 4), optest.Normal(r, 5))
}
