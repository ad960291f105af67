package op

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"modeldoctor/onnx"
	"modeldoctor/onnx/onnxtest"
)

// lowerMicrosoft lowers one node of ONNX Runtime's own operators.
func lowerMicrosoft(t *testing.T, p *Program, operator string, outputs int, in []*Value, attrs ...onnxtest.Attr) ([]*Value, error) {
	t.Helper()
	b := onnxtest.New(20)
	b.Domain(microsoft, 1)
	names, results := make([]string, len(in)), make([]string, outputs)
	for i, v := range in {
		if v != nil {
			names[i] = fmt.Sprint("x", i)
			b.Input(names[i], v.Type.DType)
		}
	}
	for i := range results {
		results[i] = fmt.Sprint("y", i)
		b.Output(results[i], onnx.Float)
	}
	b.Node(operator, names, results, attrs...).Domain(microsoft)
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := NewRegistry().Find(microsoft, operator, 1)
	if err != nil {
		t.Fatal(err)
	}
	return entry.Lower(&Call{Program: p, Node: m.Nodes[0], Opset: 1, In: in})
}

// double returns a DOUBLE array.
func double(data []float64, shape ...int) *Array {
	return &Array{Type{onnx.Double, shape}, data}
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
		{operator: "Softmax", opset: 11, in: []*Array{twos}, shape: []int{1, 2, 2}, want: []float64{0.25, 0.25, 0.25, 0.25}},
		{operator: "Softmax", opset: 13, in: []*Array{twos}, shape: []int{1, 2, 2}, want: []float64{0.5, 0.5, 0.5, 0.5}},
		{operator: "Softmax", opset: 12, attrs: []onnxtest.Attr{onnxtest.Int("axis", -1)}, in: []*Array{double([]float64{0, 1}, 1, 2)}, shape: []int{1, 2}, want: []float64{1 / (1 + e), e / (1 + e)}},
		{operator: "LogSoftmax", opset: 9, in: []*Array{twos}, shape: []int{1, 2, 2}, want: slices.Repeat([]float64{-math.Log(4)}, 4)},
		{operator: "Softmax", opset: 13, attrs: []onnxtest.Attr{onnxtest.Int("axis", 3)}, in: []*Array{twos}, fails: "axis 3"},

		{operator: "MatMul", opset: 13, in: []*Array{double([]float64{1, 2}, 2), double([]float64{3, 4}, 2)}, shape: []int{}, want: []float64{11}},
		{operator: "MatMul", opset: 13, in: []*Array{double([]float64{1, 2}, 2), m}, shape: []int{3}, want: []float64{9, 12, 15}},
		{operator: "MatMul", opset: 13, in: []*Array{m, double([]float64{1, 0, 2}, 3)}, shape: []int{2}, want: []float64{7, 16}},
		{operator: "MatMul", opset: 13, in: []*Array{twos, double([]float64{1, 3}, 2)}, shape: []int{1, 2}, want: []float64{8, 8}},
		{operator: "MatMul", opset: 13, in: []*Array{m, m}, fails: "expected as many rows"},
		{operator: "MatMul", opset: 13, in: []*Array{m, double([]float64{1}, []int{}...)}, fails: "rank 2 or more"},

		{operator: "Gemm", opset: 13, attrs: []onnxtest.Attr{onnxtest.Int("transA", 1), onnxtest.Float("alpha", 2), onnxtest.Float("beta", 10)},
			in: []*Array{double([]float64{1, 2}, 1, 2), double([]float64{3, 4}, 1, 2), double([]float64{1, 2}, 2, 1)}, shape: []int{2, 2}, want: []float64{16, 18, 32, 36}},
		{operator: "Gemm", opset: 13, attrs: []onnxtest.Attr{onnxtest.Float("beta", 0)},
			in: []*Array{double([]float64{2}, 1, 1), double([]float64{3}, 1, 1), double([]float64{7}, 1)}, shape: []int{1, 1}, want: []float64{6}},
		{operator: "Gemm", opset: 13, in: []*Array{twos, m}, fails: "expected two matrices"},

		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "SAME_UPPER")}, in: []*Array{ramp, pairs}, shape: []int{1, 1, 6}, want: []float64{3, 5, 7, 9, 11, 6}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "SAME_LOWER")}, in: []*Array{ramp, pairs}, shape: []int{1, 1, 6}, want: []float64{1, 3, 5, 7, 9, 11}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "VALID"), onnxtest.Ints("strides", 2)}, in: []*Array{ramp, ones}, shape: []int{1, 1, 2}, want: []float64{6, 12}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("dilations", 2), onnxtest.Ints("pads", 1, 0)}, in: []*Array{ramp, pairs, double([]float64{100}, 1)}, shape: []int{1, 1, 5}, want: []float64{102, 104, 106, 108, 110}},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 3)}, in: []*Array{ramp, pairs}, fails: "kernel_shape [2]"},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.String("auto_pad", "SAME")}, in: []*Array{ramp, pairs}, fails: `auto_pad "SAME" is not supported`},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("pads", 1)}, in: []*Array{ramp, pairs}, fails: "expected 2 values"},
		{operator: "Conv", opset: 11, in: []*Array{ramp, double(make([]float64, 7), 1, 1, 7)}, fails: "larger than the input"},
		{operator: "Conv", opset: 11, attrs: []onnxtest.Attr{onnxtest.Ints("pads", 1<<30, 1<<30)}, in: []*Array{ramp, ones}, fails: "limit"},

		{operator: "MaxPool", opset: 12, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 2), onnxtest.Ints("strides", 4), onnxtest.Int("ceil_mode", 1)}, in: []*Array{ramp}, shape: []int{1, 1, 2}, want: []float64{2, 6}},
		{operator: "AveragePool", opset: 19, attrs: []onnxtest.Attr{onnxtest.Ints("kernel_shape", 4), onnxtest.Ints("strides", 4), onnxtest.Int("ceil_mode", 1), onnxtest.Int("count_include_pad", 1)}, in: []*Array{ramp}, shape: []int{1, 1, 2}, want: []float64{2.5, 5.5}},
		{operator: "MaxPool", opset: 12, in: []*Array{ramp}, fails: "spatial dimensions"},
		{operator: "GlobalMaxPool", opset: 11, in: []*Array{ramp}, shape: []int{1, 1, 1}, want: []float64{6}},
		{operator: "GlobalAveragePool", opset: 11, in: []*Array{m}, fails: "[N, C, ...]"},

		{operator: "BatchNormalization", opset: 15, attrs: []onnxtest.Attr{onnxtest.Int("training_mode", 1)},
			in: []*Array{double([]float64{1, 3}, 2, 1), double([]float64{1}, 1), double([]float64{1}, 1), double([]float64{1}, 1), double([]float64{1}, 1)}, fails: "training_mode"},
		{operator: "BatchNormalization", opset: 15, attrs: []onnxtest.Attr{onnxtest.Int("training_mode", 1), onnxtest.Float("epsilon", 0)},
			in:    []*Array{double([]float64{1, 3}, 1, 1, 2), double([]float64{2}, 1), double([]float64{5}, 1), double([]float64{1}, 1), double([]float64{1}, 1)},
			shape: []int{1, 1, 2}, want: []float64{3, 7}},
		{operator: "LpNormalization", opset: 1, in: []*Array{double([]float64{3, 4}, 1, 2)}, shape: []int{1, 2}, want: []float64{0.6, 0.8}},
		{operator: "LpNormalization", opset: 1, attrs: []onnxtest.Attr{onnxtest.Int("p", 1)}, in: []*Array{double([]float64{1, -3}, 1, 2)}, shape: []int{1, 2}, want: []float64{0.25, -0.75}},
		{operator: "LpNormalization", opset: 1, attrs: []onnxtest.Attr{onnxtest.Int("p", 3)}, in: []*Array{m}, fails: "found 3"},
		{operator: "InstanceNormalization", opset: 6, in: []*Array{double([]float64{1}, 1), double([]float64{1}, 1), double([]float64{1}, 1)}, fails: "[N, C, ...]"},
		{operator: "GroupNormalization", opset: 21, in: []*Array{ramp, double([]float64{1}, 1), double([]float64{1}, 1)}, fails: "0 groups"},
		{operator: "LayerNormalization", opset: 17, attrs: []onnxtest.Attr{onnxtest.Float("epsilon", 0)},
			in: []*Array{double([]float64{1, 3}, 1, 2), double([]float64{2}, 1), double([]float64{5, 7}, 2)}, shape: []int{1, 2}, want: []float64{3, 9}},
		{operator: "Attention", opset: 23, in: []*Array{m, m, m}, fails: "q_num_heads"},
	})
}

// TestGroupNormalizationScale: a scale for each group, as before opset 21, is
// that scale for each of its channels.
func TestGroupNormalizationScale(t *testing.T) {
	r := random()
	x, scale, bias := normal(r, 2, 4, 3), double([]float64{2, -1}, 2), double([]float64{0.5, 3}, 2)
	groups := onnxtest.Int("num_groups", 2)
	old, err := lowerNode(t, 18, "GroupNormalization", 1, []*Array{&x, scale, bias}, groups)
	if err != nil {
		t.Fatal(err)
	}
	current, err := lowerNode(t, 21, "GroupNormalization", 1, []*Array{&x, double([]float64{2, 2, -1, -1}, 4), double([]float64{0.5, 0.5, 3, 3}, 4)}, groups)
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "opset 18", old[0].Const.AsFloats(), current[0].Const.AsFloats(), 1e-14)
	if _, err := lowerNode(t, 21, "GroupNormalization", 1, []*Array{&x, scale, bias}, onnxtest.Int("num_groups", 3)); err == nil {
		t.Error("3 groups of 4 channels were accepted")
	}
}

// TestGemmIsLinear: what PyTorch exports a linear layer to becomes one.
func TestGemmIsLinear(t *testing.T) {
	p := NewProgram()
	in := []*Value{
		p.Input("x", Type{onnx.Float, []int{3, 4}}, 0),
		p.Weight("w", Type{onnx.Float, []int{5, 4}}, 0),
		p.Weight("b", Type{onnx.Float, []int{5}}, 1),
	}
	y, err := lowerValues(t, p, 20, "Gemm", 1, in, onnxtest.Int("transB", 1), onnxtest.Float("alpha", 1), onnxtest.Float("beta", 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 1 || p.Steps[0].Op != (Linear{TransW: true}) || y[0].Step != p.Steps[0] {
		t.Errorf("lowered to %v, want one Linear", p.Steps)
	}
}

func TestFusedMatMul(t *testing.T) {
	r := random()
	a, b := normal(r, 4, 2, 3), normal(r, 2, 5, 3) // [M, batch, K] and [batch, N, K]
	p := NewProgram()
	got, err := lowerMicrosoft(t, p, "FusedMatMul", 1, []*Value{p.Constant(a), p.Constant(b)},
		onnxtest.Int("transBatchA", 1), onnxtest.Int("transB", 1), onnxtest.Float("alpha", 0.5))
	if err != nil {
		t.Fatal(err)
	}
	want := apply(t, MatMul{TransB: true, Alpha: 0.5}, apply(t, Transpose{Perm: []int{1, 0, 2}}, a), b)
	if !slices.Equal(got[0].Type.Shape, want.Shape) {
		t.Fatalf("shape %v, want %v", got[0].Type.Shape, want.Shape)
	}
	closeTo(t, "product", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)
}

func TestSkipNormalization(t *testing.T) {
	r := random()
	const d = 5
	x, skip, gamma, beta, bias := normal(r, 2, 3, d), normal(r, 3, d), normal(r, d), normal(r, d), normal(r, d)
	sum := apply(t, Add{}, apply(t, Add{}, x, skip), bias)
	for _, test := range []struct {
		operator string
		in       []Array
		want     Array
	}{
		{"SkipLayerNormalization", []Array{x, skip, gamma, beta, bias}, apply(t, LayerNormalization{2, 0.25}, sum, gamma, beta)},
		{"SkipSimplifiedLayerNormalization", []Array{x, skip, gamma, bias}, apply(t, RMSNormalization{2, 0.25}, sum, gamma)},
	} {
		p := NewProgram()
		var in []*Value
		for _, a := range test.in {
			in = append(in, p.Constant(a))
		}
		out, err := lowerMicrosoft(t, p, test.operator, 4, in, onnxtest.Float("epsilon", 0.25))
		if err != nil {
			t.Fatal(err)
		}
		closeTo(t, test.operator, out[0].Const.AsFloats(), test.want.AsFloats(), 1e-14)
		closeTo(t, test.operator+" sum", out[3].Const.AsFloats(), sum.AsFloats(), 1e-14)
		// y = (sum − mean)·inverse·gamma + beta, with the statistics it returns.
		y := sum
		if out[1] != nil {
			y = apply(t, Sub{}, y, *out[1].Const)
		}
		y = apply(t, Mul{}, apply(t, Mul{}, y, *out[2].Const), gamma)
		if out[1] != nil {
			y = apply(t, Add{}, y, beta)
		}
		closeTo(t, test.operator+" statistics", y.AsFloats(), test.want.AsFloats(), 1e-14)
	}
}

// TestMicrosoftAttention compares both operators with the fused Op.
func TestMicrosoftAttention(t *testing.T) {
	r := random()
	const heads, d = 2, 3
	x, w, bias := normal(r, 2, 4, 5), normal(r, 5, 3*heads*d), normal(r, 3*heads*d)
	rows := apply(t, Linear{}, x, w, bias)
	want := apply(t, PackedAttention{Heads: heads, HeadDim: d, Scale: 1 / math.Sqrt(d), Offsets: [3]int{0, heads * d, 2 * heads * d}}, rows)
	p := NewProgram()
	numHeads := onnxtest.Int("num_heads", heads)
	packed := []*Value{p.Constant(x), p.Constant(w), p.Constant(bias), nil}
	got, err := lowerMicrosoft(t, p, "Attention", 1, packed, numHeads)
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "Attention", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)

	product := apply(t, Linear{}, x, w)
	var in []*Value
	for i := range 3 {
		in = append(in, p.Constant(apply(t, Slice{Starts: []int{0, 0, i * heads * d}, Sizes: []int{2, 4, heads * d}, Steps: []int{1, 1, 1}}, product)))
	}
	in = append(in, p.Constant(bias))
	if got, err = lowerMicrosoft(t, p, "MultiHeadAttention", 1, in, numHeads); err != nil {
		t.Fatal(err)
	}
	closeTo(t, "MultiHeadAttention", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)

	packed[3] = p.Ints(4, 4)
	if _, err := lowerMicrosoft(t, p, "Attention", 1, packed, numHeads); err == nil {
		t.Error("a mask was accepted")
	}
	if _, err := lowerMicrosoft(t, p, "Attention", 1, packed[:3], numHeads, onnxtest.Int("unidirectional", 1)); err == nil {
		t.Error("unidirectional was accepted")
	}
	if _, err := lowerMicrosoft(t, p, "MultiHeadAttention", 1, in[:1], numHeads); err == nil {
		t.Error("a packed input was accepted")
	}
}

// TestAttentionGradient differentiates attention as it is lowered: heads of keys
// that several query heads share, a mask, a cap and a causal frontier.
func TestAttentionGradient(t *testing.T) {
	r := random()
	mask := normal(r, 3, 4)
	checkProgram(t, func(p *Program, in []*Value) (*Value, error) {
		bias := p.Constant(mask)
		if ClassOf(in[0].Type.DType) == ClassFloat32 {
			bias = p.Constant(toFloat32(mask))
		}
		out, err := lowerValues(t, p, 23, "Attention", 1, []*Value{in[0], in[1], in[2], bias},
			onnxtest.Int("q_num_heads", 4), onnxtest.Int("kv_num_heads", 2), onnxtest.Float("softcap", 2), onnxtest.Int("is_causal", 1))
		if err != nil {
			return nil, err
		}
		return out[0], nil
	}, normal(r, 2, 3, 8), normal(r, 2, 4, 4), normal(r, 2, 4, 6))
}

// TestNormalizationLoweringGradients differentiates the normalisations that are
// lowered to other Ops.
func TestNormalizationLoweringGradients(t *testing.T) {
	r := random()
	for _, test := range []struct {
		operator string
		opset    int64
		attrs    []onnxtest.Attr
		in       []Array
	}{
		{"InstanceNormalization", 6, nil, []Array{normal(r, 2, 3, 4), normal(r, 3), normal(r, 3)}},
		{"GroupNormalization", 18, []onnxtest.Attr{onnxtest.Int("num_groups", 2)}, []Array{normal(r, 2, 4, 3), normal(r, 2), normal(r, 2)}},
		{"LpNormalization", 1, nil, []Array{normal(r, 2, 3)}},
		{"MeanVarianceNormalization", 13, []onnxtest.Attr{onnxtest.Ints("axes", 0, 2)}, []Array{normal(r, 2, 3, 4)}},
		{"RMSNormalization", 23, []onnxtest.Attr{onnxtest.Int("axis", 1)}, []Array{normal(r, 2, 3, 4), normal(r, 4)}},
	} {
		t.Run(test.operator, func(t *testing.T) {
			checkProgram(t, func(p *Program, in []*Value) (*Value, error) {
				out, err := lowerValues(t, p, test.opset, test.operator, 1, in, test.attrs...)
				if err != nil {
					return nil, err
				}
				return out[0], nil
			}, test.in...)
		})
	}
}
