package lowering

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestGroupNormalizationScale: a scale for each group, as before opset 21, is
// that scale for each of its channels.
func TestGroupNormalizationScale(t *testing.T) {
	r := optest.Random()
	x, scale, bias := optest.Normal(r, 2, 4, 3), double([]float64{2, -1}, 2), double([]float64{0.5, 3}, 2)
	groups := onnxtest.Int("num_groups", 2)
	old, err := lowerNode(t, 18, "GroupNormalization", 1, []*op.Array{&x, scale, bias}, groups)
	if err != nil {
		t.Fatal(err)
	}
	current, err := lowerNode(t, 21, "GroupNormalization", 1, []*op.Array{&x, double([]float64{2, 2, -1, -1}, 4), double([]float64{0.5, 0.5, 3, 3}, 4)}, groups)
	if err != nil {
		t.Fatal(err)
	}
	testdevice.CloseTo(t, "opset 18", old[0].Const.AsFloats(), current[0].Const.AsFloats(), 1e-14)
	if _, err := lowerNode(t, 21, "GroupNormalization", 1, []*op.Array{&x, scale, bias}, onnxtest.Int("num_groups", 3)); err == nil {
		t.Error("3 groups of 4 channels were accepted")
	}
}

func TestSkipNormalization(t *testing.T) {
	r := optest.Random()
	const d = 5
	x, skip, gamma, beta, bias := optest.Normal(r, 2, 3, d), optest.Normal(r, 3, d), optest.Normal(r, d), optest.Normal(r, d), optest.Normal(r, d)
	sum := optest.Apply(t, op.Add{}, optest.Apply(t, op.Add{}, x, skip), bias)
	for _, test := range []struct {
		operator string
		in       []op.Array
		want     op.Array
	}{
		{"SkipLayerNormalization", []op.Array{x, skip, gamma, beta, bias}, optest.Apply(t, op.LayerNormalization{Axis: 2, Epsilon: 0.25}, sum, gamma, beta)},
		{"SkipSimplifiedLayerNormalization", []op.Array{x, skip, gamma, bias}, optest.Apply(t, op.RMSNormalization{Axis: 2, Epsilon: 0.25}, sum, gamma)},
	} {
		p := op.NewProgram(0)
		var in []*op.Value
		for _, a := range test.in {
			in = append(in, p.Constant(a))
		}
		out, err := lowerValues(t, p, 1, microsoft+"."+test.operator, 4, in, onnxtest.Float("epsilon", 0.25))
		if err != nil {
			t.Fatal(err)
		}
		testdevice.CloseTo(t, test.operator, out[0].Const.AsFloats(), test.want.AsFloats(), 1e-14)
		testdevice.CloseTo(t, test.operator+" sum", out[3].Const.AsFloats(), sum.AsFloats(), 1e-14)
		// y = (sum − mean)·inverse·gamma + beta, with the statistics it returns.
		y := sum
		if out[1] != nil {
			y = optest.Apply(t, op.Sub{}, y, *out[1].Const)
		}
		y = optest.Apply(t, op.Mul{}, optest.Apply(t, op.Mul{}, y, *out[2].Const), gamma)
		if out[1] != nil {
			y = optest.Apply(t, op.Add{}, y, beta)
		}
		testdevice.CloseTo(t, test.operator+" statistics", y.AsFloats(), test.want.AsFloats(), 1e-14)
	}
}
