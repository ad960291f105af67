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
