package lowering

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestGemmIsLinear: what PyTorch exports a linear layer to becomes one.
func TestGemmIsLinear(t *testing.T) {
	p := op.NewProgram(0)
	in := []*op.Value{
		p.Input("x", op.Type{DType: onnx.Float, Shape: []int{3, 4}}, 0),
		p.Weight("w", op.Type{DType: onnx.Float, Shape: []int{5, 4}}, 0),
		p.Weight("b", op.Type{DType: onnx.Float, Shape: []int{5}}, 1),
	}
	y, err := lowerValues(t, p, 20, "Gemm", 1, in, onnxtest.Int("transB", 1), onnxtest.Float("alpha", 1), onnxtest.Float("beta", 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 1 || p.Steps[0].Op != (op.Linear{TransW: true}) || y[0].Step != p.Steps[0] {
		t.Errorf("lowered to %v, want one Linear", p.Steps)
	}
}

func TestFusedMatMul(t *testing.T) {
	r := optest.Random()
	a, b := optest.Normal(r, 4, 2, 3), optest.Normal(r, 2, 5, 3) // [M, batch, K] and [batch, N, K]
	p := op.NewProgram(0)
	got, err := lowerValues(t, p, 1, microsoft+".FusedMatMul", 1, []*op.Value{p.Constant(a), p.Constant(b)},
		onnxtest.Int("transBatchA", 1), onnxtest.Int("transB", 1), onnxtest.Float("alpha", 0.5))
	if err != nil {
		t.Fatal(err)
	}
	want := optest.Apply(t, op.MatMul{TransB: true, Alpha: 0.5}, optest.Apply(t, op.Transpose{Perm: []int{1, 0, 2}}, a), b)
	if !slices.Equal(got[0].Type.Shape, want.Shape) {
		t.Fatalf("shape %v, want %v", got[0].Type.Shape, want.Shape)
	}
	testdevice.CloseTo(t, "product", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)
}
