package lowering

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// double returns a DOUBLE array.
func double(data []float64, shape ...int) *op.Array {
	return &op.Array{Type: op.Type{DType: onnx.Double, Shape: shape}, Data: data}
}

func TestLinearAlgebraLowerings(t *testing.T) {
	e := math.E
	twos := double([]float64{2, 2, 2, 2}, 1, 2, 2)
	m := double([]float64{1, 2, 3, 4, 5, 6}, 2, 3)
	ramp := double([]float64{1, 2, 3, 4, 5, 6}, 1, 1, 6)
	ones := double([]float64{1, 1, 1}, 1, 1, 3)
	pairs := double([]float64{1, 1}, 1, 1, 2)
	checkLowerings(t, []lowering{
		// Before opset 13 everything from the axis on is one row.
		{operator: "Softmax", opset: 11, in: []*op.Array{twos}, shape: []int{1, 2, 2}, want: []float64{0.25, 0.25, 0.25, 0.25}},
		{operator: "Softmax", opset: 13, in: []*op.Array{twos}, shape: []int{1, 2, 2}, want: []float64{0.5, 0.5, 0.5, 0.5}},
		{operator: "Softmax", opset: 12, attrs: []onnxtest.Attr{onnxtest.Int("axis", -1)}, in: []*op.Array{double([]float64{0, 1}, 1, 2)}, shape: []int{1, 2}, want: []float64{1 / (1 + e), e / (1 + e)}},
		{operator: "LogSoftmax", opset: 9, in: []*op.Array{twos}, shape: []int{1, 2, 2}, want: slices.Repeat([]float64{-math.Log(4)}, 4)},
		{operator: "Softmax", opset: 13, attrs: []onnxtest.Attr{onnxtest.Int("axis", 3)}, in: []*op.Array{twos}, fails: "axis 3"},

		{operator: "MatMul", opset: 13, in: []*op.Array{double([]float64{1, 2}, 2), double([]float64{3, 4}, 2)}, shape: []int{}, want: []float64{11}},
		{operator: "MatMul", opset: 13, in: []*op.Array{double([]float64{1, 2}, 2), m}, shape: []int{3}, want: []float64{9, 12, 15}},
		{operator: "MatMul", opset: 13, in: []*op.Array{m, double([]float64{1, 0, 2}, 3)}, shape: []int{2}, want: []float64{7, 16}},
		{operator: "MatMul", opset: 13, in: []*op.Array{twos, double([]float64{1, 3}, 2)}, shape: []int{1, 2}, want: []float64{8, 8}},
		{operator: "MatMul", opset: 13, in: []*op.Array{m, m}, fails: "expected as many rows"},
		{operator: "MatMul", opset: 13, in: []*op.Array{m, double([]float64{1}, []int{}...)}, fails: "rank 2 or more"},

		{operator: "Gemm", opset: 13, attrs: []onnxtest.Attr{onnxtest.Int("transA", 1), onnxtest.Float("alpha", 2), onnxtest.Float("beta", 10)},
			in: []*op.Array{double([]float64{1, 2}, 1, 2), double([]float64{3, 4}, 1, 2), double([]float64{1, 2}, 2, 1)}, shape: []int{2, 2}, want: []float64{16, 18, 32, 36}},
		{operator: "Gemm", opset: 13, attrs: []onnxtest.Attr{onnxtest.Float("beta", 0)},
			in: []*op.Array{double([]float64{2}, 1, 1), double([]float64{3}, 1, 1), double([]float64{7}, 1)}, shape: []int{1, 1}, want: []float64{6}},
		{operator: "Gemm", opset: 13, in: []*op.Array{twos, m}, fails: "expected two matrices"},

		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "SAME_UPPER")}, in: []*op.Array{ramp, pairs}, shape: []int{1, 1, 6}, want: []float64{3, 5, 7, 9, 11, 6}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "SAME_LOWER")}, in: []*op.Array{ramp, pairs}, shape: []int{1, 1, 6}, want: []float64{1, 3, 5, 7, 9, 11}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "VALID"), onnxtest.Ints("strides", 2)}, in: []*op.Array{ramp, ones}, shape: []int{1, 1, 2}, want: []float64{6, 12}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("dilations", 2), onnxtest.Ints("pads", 1, 0)}, in: []*op.Array{ramp, pairs, double([]float64{100}, 1)}, shape: []int{1, 1, 5}, want: []float64{102, 104, 106, 108, 110}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 3)}, in: []*op.Array{ramp, pairs}, fails: "kernel_shape [2]"},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "SAME")}, in: []*op.Array{ramp, pairs}, fails: `auto_pad "SAME" is not supported`},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("pads", 1)}, in: []*op.Array{ramp, pairs}, fails: "expected 2 values"},
		{operator: "Conv", opset: 11, in: []*op.Array{ramp, double(make([]float64, 7), 1, 1, 7)}, fails: "larger than the input"},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("pads", 1<<30, 1<<30)}, in: []*op.Array{ramp, ones}, fails: "limit"},

		{operator: "MaxPool", opset: 12, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 2), onnxtest.Ints("strides", 4), onnxtest.Int("ceil_mode", 1)}, in: []*op.Array{ramp}, shape: []int{1, 1, 2}, want: []float64{2, 6}},
		{operator: "AveragePool", opset: 19, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 4), onnxtest.Ints("strides", 4), onnxtest.Int("ceil_mode", 1), onnxtest.Int("count_include_pad", 1)}, in: []*op.Array{ramp}, shape: []int{1, 1, 2}, want: []float64{2.5, 5.5}},
		{operator: "MaxPool", opset: 12, in: []*op.Array{ramp}, fails: "spatial dimensions"},
		{operator: "GlobalMaxPool", opset: 11, in: []*op.Array{ramp}, shape: []int{1, 1, 1}, want: []float64{6}},
		{operator: "GlobalAveragePool", opset: 11, in: []*op.Array{m}, fails: "[N, C, ...]"},

		{operator: "BatchNormalization", opset: 15, attrs: []onnxtest.Attr{onnxtest.Int("training_mode", 1)},
			in: []*op.Array{double([]float64{1, 3}, 2, 1), double([]float64{1}, 1), double([]float64{1}, 1), double([]float64{1}, 1), double([]float64{1}, 1)}, fails: "training_mode"},
		{operator: "Col2Im", opset: 18, in: []*op.Array{array(optest.Counting(1, 4, 4)), vector(3, 3), vector(2, 2)}, shape: []int{1, 1, 3, 3}, want: []float64{0, 5, 5, 10, 30, 20, 10, 25, 15}},
		{operator: "Col2Im", opset: 18, in: []*op.Array{array(optest.Counting(1, 4, 3)), vector(3, 3), vector(2, 2)}, fails: "expected columns [N, a multiple of 4, 4]"},
		{operator: "LpPool", opset: 18, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 2), onnxtest.Ints("pads", 1, 1), onnxtest.Int("p", 1)}, in: []*op.Array{ramp}, shape: []int{1, 1, 7}, want: []float64{1, 3, 5, 7, 9, 11, 6}},
		{operator: "Col2Im", opset: 18, attrs: []onnxtest.Attr{onnxtest.Ints("pads", 1<<30, 1<<30, 4, 1<<30, 1<<30, 4)}, in: []*op.Array{array(optest.Counting(1, 4, 4)), vector(3, 3, 3), vector(1<<31-1, 1<<31-1, 4)}, fails: "elements"},
		{operator: "LRN", opset: 13, attrs: []onnxtest.Attr{onnxtest.Int("size", 1<<40)}, in: []*op.Array{ramp}, fails: "is more than the 1 channels"},
		{operator: "LpPool", opset: 18, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 2), onnxtest.Int("ceil_mode", 1)}, in: []*op.Array{ramp}, fails: "ceil_mode 1"},
		{operator: "GlobalLpPool", opset: 2, in: []*op.Array{double([]float64{3, -4}, 1, 1, 2)}, shape: []int{1, 1, 1}, want: []float64{5}},
		{operator: "LRN", opset: 13, attrs: []onnxtest.Attr{onnxtest.Int("size", 3), onnxtest.Float("alpha", 3), onnxtest.Float("beta", 1)}, in: []*op.Array{double([]float64{1, 2, 3}, 1, 3)}, shape: []int{1, 3}, want: []float64{1. / 6, 2. / 15, 3. / 14}},
		{operator: microsoft + ".FusedGemm", opset: 1, attrs: []onnxtest.Attr{onnxtest.String("activation", "LeakyRelu"), onnxtest.Float("activation_alpha", 0.5)},
			in: []*op.Array{double([]float64{2}, 1, 1), double([]float64{3, -3}, 1, 2)}, shape: []int{1, 2}, want: []float64{6, -3}},
		{operator: microsoft + ".FusedConv", opset: 1, attrs: []onnxtest.Attr{onnxtest.String("activation", "Clip"), onnxtest.Floats("activation_params", 4, 8)}, in: []*op.Array{ramp, pairs}, shape: []int{1, 1, 5}, want: []float64{4, 5, 7, 8, 8}},
		{operator: microsoft + ".FusedConv", opset: 1, attrs: []onnxtest.Attr{onnxtest.String("activation", "Gelu")}, in: []*op.Array{ramp, pairs}, fails: `activation "Gelu" is not supported`},
		{operator: "BatchNormalization", opset: 15, attrs: []onnxtest.Attr{onnxtest.Int("training_mode", 1), onnxtest.Float("epsilon", 0)},
			in:    []*op.Array{double([]float64{1, 3}, 1, 1, 2), double([]float64{2}, 1), double([]float64{5}, 1), double([]float64{1}, 1), double([]float64{1}, 1)},
			shape: []int{1, 1, 2}, want: []float64{3, 7}},
		{operator: "LpNormalization", opset: 1, in: []*op.Array{double([]float64{3, 4}, 1, 2)}, shape: []int{1, 2}, want: []float64{0.6, 0.8}},
		{operator: "LpNormalization", opset: 1, attrs: []onnxtest.Attr{onnxtest.Int("p", 1)}, in: []*op.Array{double([]float64{1, -3}, 1, 2)}, shape: []int{1, 2}, want: []float64{0.25, -0.75}},
		{operator: "LpNormalization", opset: 1, attrs: []onnxtest.Attr{onnxtest.Int("p", 3)}, in: []*op.Array{m}, fails: "found 3"},
		{operator: "InstanceNormalization", opset: 6, in: []*op.Array{double([]float64{1}, 1), double([]float64{1}, 1), double([]float64{1}, 1)}, fails: "[N, C, ...]"},
		{operator: "GroupNormalization", opset: 21, in: []*op.Array{ramp, double([]float64{1}, 1), double([]float64{1}, 1)}, fails: "0 groups"},
		{operator: "LayerNormalization", opset: 17, attrs: []onnxtest.Attr{onnxtest.Float("epsilon", 0)},
			in: []*op.Array{double([]float64{1, 3}, 1, 2), double([]float64{2}, 1), double([]float64{5, 7}, 2)}, shape: []int{1, 2}, want: []float64{3, 9}},
		{operator: "Attention", opset: 23, in: []*op.Array{m, m, m}, fails: "q_num_heads"},
	})
}

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
	optest.CloseTo(t, "opset 18", old[0].Const.AsFloats(), current[0].Const.AsFloats(), 1e-14)
	if _, err := lowerNode(t, 21, "GroupNormalization", 1, []*op.Array{&x, scale, bias}, onnxtest.Int("num_groups", 3)); err == nil {
		t.Error("3 groups of 4 channels were accepted")
	}
}

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
	optest.CloseTo(t, "product", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)
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
		optest.CloseTo(t, test.operator, out[0].Const.AsFloats(), test.want.AsFloats(), 1e-14)
		optest.CloseTo(t, test.operator+" sum", out[3].Const.AsFloats(), sum.AsFloats(), 1e-14)
		// y = (sum − mean)·inverse·gamma + beta, with the statistics it returns.
		y := sum
		if out[1] != nil {
			y = optest.Apply(t, op.Sub{}, y, *out[1].Const)
		}
		y = optest.Apply(t, op.Mul{}, optest.Apply(t, op.Mul{}, y, *out[2].Const), gamma)
		if out[1] != nil {
			y = optest.Apply(t, op.Add{}, y, beta)
		}
		optest.CloseTo(t, test.operator+" statistics", y.AsFloats(), test.want.AsFloats(), 1e-14)
	}
}

// TestMicrosoftAttention compares both operators with the fused Op.
func TestMicrosoftAttention(t *testing.T) {
	r := optest.Random()
	const heads, d = 2, 3
	x, w, bias := optest.Normal(r, 2, 4, 5), optest.Normal(r, 5, 3*heads*d), optest.Normal(r, 3*heads*d)
	rows := optest.Apply(t, op.Linear{}, x, w, bias)
	want := optest.Apply(t, op.PackedAttention{Heads: heads, HeadDim: d, Scale: 1 / math.Sqrt(d), Offsets: [3]int{0, heads * d, 2 * heads * d}}, rows)
	p := op.NewProgram(0)
	numHeads := onnxtest.Int("num_heads", heads)
	packed := []*op.Value{p.Constant(x), p.Constant(w), p.Constant(bias), nil}
	got, err := lowerValues(t, p, 1, microsoft+".Attention", 1, packed, numHeads)
	if err != nil {
		t.Fatal(err)
	}
	optest.CloseTo(t, "Attention", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)

	product := optest.Apply(t, op.Linear{}, x, w)
	var in []*op.Value
	for i := range 3 {
		in = append(in, p.Constant(optest.Apply(t, op.Slice{Starts: []int{0, 0, i * heads * d}, Sizes: []int{2, 4, heads * d}, Steps: []int{1, 1, 1}}, product)))
	}
	in = append(in, p.Constant(bias))
	if got, err = lowerValues(t, p, 1, microsoft+".MultiHeadAttention", 1, in, numHeads); err != nil {
		t.Fatal(err)
	}
	optest.CloseTo(t, "MultiHeadAttention", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)

	packed[3] = p.Ints(4, 4)
	if _, err := lowerValues(t, p, 1, microsoft+".Attention", 1, packed, numHeads); err == nil {
		t.Error("a mask was accepted")
	}
	if _, err := lowerValues(t, p, 1, microsoft+".Attention", 1, packed[:3], numHeads, onnxtest.Int("unidirectional", 1)); err == nil {
		t.Error("unidirectional was accepted")
	}
	if _, err := lowerValues(t, p, 1, microsoft+".MultiHeadAttention", 1, in[:1], numHeads); err == nil {
		t.Error("a packed input was accepted")
	}
}

// TestMicrosoftValues compares with results of onnxruntime 1.32. Inputs count
// modulo 7.
func TestMicrosoftValues(t *testing.T) {
	count := func(divisor float64, shape ...int) *op.Array {
		a := op.NewArray(op.Type{DType: onnx.Double, Shape: shape})
		for i := range op.Elem[float64](a) {
			op.Elem[float64](a)[i] = float64((i+1)%7) / divisor
		}
		return &a
	}
	heads := onnxtest.Int("num_heads", 2)
	cos := double([]float64{1, 2, .5, 1, -1, -2, .25, .5, 2, 4}, 5, 2)
	sin := double([]float64{0, 0, 2, 6, 1, 3, -1, -3, 3, 9}, 5, 2)
	checkLowerings(t, []lowering{
		{operator: microsoft + ".FusedConv", opset: 1, attrs: attributes(onnxtest.String("activation", "HardSigmoid"), onnxtest.Floats("activation_params", 0.01, 0.1)),
			in: []*op.Array{count(1, 1, 1, 3, 3), count(1, 1, 1, 2, 2), count(1, 1)}, shape: []int{1, 1, 2, 2}, want: []float64{0.48, 0.58, 0.29, 0.39}},
		{operator: microsoft + ".RotaryEmbedding", opset: 1, attrs: attributes(heads), in: []*op.Array{count(1, 1, 3, 8), vector(1), cos, sin}, shape: []int{1, 3, 8},
			want: []float64{-5.5, -22, 3.5, 16, 2.5, 0, 10, 37, -6, -21, -2, -1, -7, -6, 5, -4, 5.75, 20, -1.75, -9, 2, 9.5, 0.5, -1.5}},
		{operator: microsoft + ".RotaryEmbedding", opset: 1, attrs: attributes(heads, onnxtest.Int("interleaved", 1)), in: []*op.Array{count(1, 1, 3, 8), vector(1), cos, sin}, shape: []int{1, 3, 8},
			want: []float64{-3.5, 3, -21, 22, -9.5, 13, -6, 1, -5, -1, -23, 2, -6, 6, -8, -1, 4.75, -2, 20.5, -12, 1, 0.25, 10, -4.5}},
		{operator: microsoft + ".RotaryEmbedding", opset: 1, in: []*op.Array{count(1, 1, 2, 3, 4), array(op.Ints([]int64{0, 2, 5}, 1, 3)), cos, sin}, fails: "index 5"},
		{operator: microsoft + ".Attention", opset: 1, attrs: attributes(heads), in: []*op.Array{count(4, 1, 3, 4), count(5, 4, 12), count(3, 12), nil, nil, count(2, 1, 2, 3, 3)}, shape: []int{1, 3, 4},
			want: []float64{1.707944, 2.668910, 3.239589, 4.239067, 1.915779, 2.891141, 2.996049, 3.915761, 1.629733, 2.586002, 3.246496, 4.249350}},
	})
}
