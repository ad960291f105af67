package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// productGradients are the cases of matrix products, windows and attention.
func productGradients() []gradientCase {
	r := optest.Random()
	var cases []gradientCase
	add := func(operator string, opset int64, in []any, attrs ...onnxtest.Attr) {
		cases = append(cases, gradientCase{operator: operator, opset: opset, in: in, attrs: attrs})
	}
	matrices := [][2][]int{{{2, 3}, {3, 4}}, {{3}, {3}}, {{3}, {3, 2}}, {{2, 3}, {3}}, {{2, 2, 3}, {3, 4}}, {{2, 1, 2, 3}, {3, 3, 2}}}
	for _, s := range matrices {
		add("MatMul", 9, in(optest.Normal(r, s[0]...), optest.Normal(r, s[1]...)))
	}
	for _, name := range []string{"com.microsoft.FusedMatMul", "com.microsoft.TransposeMatMul"} {
		add(name, 1, in(optest.Normal(r, 2, 3, 2), optest.Normal(r, 2, 4, 3)), onnxtest.Int("transA", 1), onnxtest.Int("transB", 1), onnxtest.Float("alpha", 0.5))
		add(name, 1, in(optest.Normal(r, 4, 2, 3), optest.Normal(r, 2, 3, 5)), onnxtest.Int("transBatchA", 1))
	}
	for _, name := range []string{"Gemm", "com.microsoft.FusedGemm"} {
		opset := int64(1)
		if name == "Gemm" {
			opset = 11
		}
		add(name, opset, in(optest.Normal(r, 2, 3), optest.Normal(r, 3, 4), optest.Normal(r, 4)))
		add(name, opset, in(optest.Normal(r, 2, 3), optest.Normal(r, 4, 3)), onnxtest.Int("transB", 1))
		add(name, opset, in(optest.Normal(r, 3, 2), optest.Normal(r, 3, 4), optest.Normal(r, 2, 1)), onnxtest.Int("transA", 1), onnxtest.Float("alpha", 0.5), onnxtest.Float("beta", 2))
	}
	for _, activation := range []string{"Tanh", "Sigmoid", "Softplus", "Elu"} {
		add("com.microsoft.FusedGemm", 1, in(optest.Normal(r, 2, 3), optest.Normal(r, 3, 2), optest.Normal(r, 2)), onnxtest.String("activation", activation))
	}
	x, filters := optest.Normal(r, 2, 2, 4, 3), optest.Normal(r, 4, 2, 3, 2)
	add("Conv", 7, in(x, filters, optest.Normal(r, 4)), onnxtest.Ints("pads", 1, 0, 1, 1), onnxtest.Ints("strides", 2, 1))
	add("Conv", 11, in(x, optest.Normal(r, 4, 1, 2, 2)), onnxtest.Int("group", 2), onnxtest.String("auto_pad", "SAME_UPPER"))
	add("Conv", 11, in(optest.Normal(r, 1, 2, 6), optest.Normal(r, 2, 2, 2), optest.Normal(r, 2)), onnxtest.Ints("dilations", 2))
	add("com.microsoft.FusedConv", 1, in(x, filters, optest.Normal(r, 4), optest.Normal(r, 2, 4, 2, 2)), onnxtest.String("activation", "Tanh"))
	add("com.microsoft.FusedConv", 1, in(x, filters), onnxtest.String("activation", "HardSigmoid"), onnxtest.Floats("activation_params", 0.01, 0.5))
	size := onnxtest.Ints("kernel_shape", 2, 2)
	for _, name := range []string{"MaxPool", "AveragePool", "LpPool"} {
		add(name, 7, in(optest.Normal(r, 1, 2, 3, 4)), size, onnxtest.Ints("strides", 1, 2))
		add(name, 11, in(optest.Normal(r, 1, 2, 3, 3)), size, onnxtest.Ints("pads", 1, 0, 0, 1))
		add(name, 22, in(optest.Normal(r, 1, 1, 4, 3)), size, onnxtest.Ints("dilations", 2, 1))
	}
	add("MaxPool", 12, in(optest.Normal(r, 1, 1, 4, 3)), size, onnxtest.Ints("strides", 2, 2), onnxtest.Int("ceil_mode", 1))
	add("AveragePool", 19, in(optest.Normal(r, 1, 1, 4, 3)), size, onnxtest.Ints("pads", 1, 1, 1, 1), onnxtest.Int("count_include_pad", 1))
	add("LpPool", 18, in(optest.Away(optest.Normal(r, 1, 1, 4, 3), 0)), size, onnxtest.Int("p", 3))
	for _, name := range []string{"GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"} {
		add(name, 7, in(optest.Normal(r, 2, 2, 3, 2)))
		add(name, 22, in(optest.Away(optest.Normal(r, 2, 2, 3), 0)))
	}
	add("GlobalLpPool", 22, in(optest.Away(optest.Normal(r, 2, 2, 3), 0)), onnxtest.Int("p", 1))
	add("Col2Im", 18, in(optest.Normal(r, 2, 8, 6), op.Ints([]int64{3, 4}, 2), op.Ints([]int64{2, 2}, 2)))
	add("Col2Im", 18, in(optest.Normal(r, 1, 6, 6), op.Ints([]int64{3, 5}, 2), op.Ints([]int64{3, 1}, 2)), onnxtest.Ints("strides", 2, 2), onnxtest.Ints("pads", 1, 0, 1, 0), onnxtest.Ints("dilations", 1, 2))
	add("Col2Im", 18, in(optest.Normal(r, 1, 2, 4), op.Ints([]int64{5}, 1), op.Ints([]int64{2}, 1)))
	add("Einsum", 12, in(optest.Normal(r, 2, 3, 4), optest.Normal(r, 2, 5, 4)), onnxtest.String("equation", "bqd,bkd->bqk"))
	return append(cases, attentionGradients()...)
}

func attentionGradients() []gradientCase {
	r := optest.Random()
	heads := onnxtest.Int("num_heads", 2)
	x, w, bias := optest.Normal(r, 1, 3, 4), optest.Normal(r, 4, 12), optest.Normal(r, 12)
	mask := known{optest.Normal(r, 3, 3)}
	apart := func() op.Array { return optest.Normal(r, 1, 3, 4) }
	angles := in(known{optest.Normal(r, 5, 1)}, known{optest.Normal(r, 5, 1)})
	return []gradientCase{
		{operator: "Attention", opset: 23, in: in(optest.Normal(r, 1, 4, 3, 2), optest.Normal(r, 1, 2, 3, 2), optest.Normal(r, 1, 2, 3, 2), mask)},
		{operator: "Attention", opset: 24, in: in(apart(), apart(), apart()),
			attrs: attributes(onnxtest.Int("q_num_heads", 2), onnxtest.Int("kv_num_heads", 2), onnxtest.Int("is_causal", 1), onnxtest.Float("softcap", 2))},
		{operator: "com.microsoft.Attention", opset: 1, in: in(x, w, bias), attrs: attributes(heads)},
		{operator: "com.microsoft.Attention", opset: 1, in: in(x, w, bias, nil, nil, optest.Normal(r, 1, 2, 3, 3)), attrs: attributes(heads, onnxtest.Float("scale", 0.7))},
		{operator: "com.microsoft.MultiHeadAttention", opset: 1, in: in(apart(), apart(), apart(), bias), attrs: attributes(heads)},
		{operator: "com.microsoft.MultiHeadAttention", opset: 1, in: in(apart(), optest.Normal(r, 1, 2, 5, 2), optest.Normal(r, 1, 2, 5, 2), nil, nil, optest.Normal(r, 1, 1, 3, 5)), attrs: attributes(heads)},
		{operator: "RotaryEmbedding", opset: 23, in: append(append(in(optest.Normal(r, 1, 3, 4)), angles...), op.Ints([]int64{0, 1, 4}, 1, 3)), attrs: attributes(heads)},
		{operator: "RotaryEmbedding", opset: 23, in: append(append(in(optest.Normal(r, 1, 2, 3, 4)), angles...), op.Ints([]int64{0, 1, 4}, 1, 3)),
			attrs: attributes(onnxtest.Int("rotary_embedding_dim", 2), onnxtest.Int("interleaved", 1))},
		{operator: "com.microsoft.RotaryEmbedding", opset: 1, in: append(in(optest.Normal(r, 2, 3, 4), op.Ints([]int64{1}, 1)), angles...), attrs: attributes(heads)},
	}
}
