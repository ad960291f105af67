package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// pointwiseGradients are the cases of the operators that work element by
// element, with every pair of shapes that broadcasts differently.
func pointwiseGradients() []gradientCase {
	r := optest.Random()
	var cases []gradientCase
	add := func(operator string, opset int64, in []any, attrs ...onnxtest.Attr) {
		cases = append(cases, gradientCase{operator: operator, opset: opset, in: in, attrs: attrs})
	}
	for _, shape := range [][]int{{2, 3}, {}, {5}} {
		for _, name := range []string{"Neg", "Exp", "Sin", "Cos", "Erf", "Sigmoid", "Tanh", "Softplus", "Identity", "Dropout"} {
			add(name, 13, in(optest.Normal(r, shape...)))
		}
		for _, name := range []string{"Sqrt", "Log", "Reciprocal"} {
			add(name, 13, in(optest.Positive(r, shape...)))
		}
		for _, name := range []string{"Abs", "Sign", "Floor", "Ceil", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Softsign"} {
			add(name, 13, in(optest.Away(optest.Normal(r, shape...), -1, 0, 1)))
		}
		add("Round", 13, in(optest.Away(optest.Normal(r, shape...), -1.5, -0.5, 0.5, 1.5)))
		add("HardSigmoid", 13, in(optest.Away(optest.Normal(r, shape...), -2.5, 2.5)))
		add("HardSwish", 14, in(optest.Away(optest.Normal(r, shape...), -3, 3)))
		add("Mish", 18, in(optest.Normal(r, shape...)))
		add("Swish", 24, in(optest.Normal(r, shape...)), onnxtest.Float("alpha", 1.5))
		add("Gelu", 20, in(optest.Normal(r, shape...)))
		add("Gelu", 20, in(optest.Normal(r, shape...)), onnxtest.String("approximate", "tanh"))
		add("Shrink", 9, in(optest.Away(optest.Normal(r, shape...), -0.5, 0.5)), onnxtest.Float("bias", 0.5))
		add("ThresholdedRelu", 10, in(optest.Away(optest.Normal(r, shape...), 1)))
		add("com.microsoft.Gelu", 1, in(optest.Normal(r, shape...)))
		add("com.microsoft.QuickGelu", 1, in(optest.Normal(r, shape...)))
	}
	for _, s := range optest.Broadcasts {
		a, b := s[0], s[1]
		for _, name := range []string{"Add", "Sub", "Mul"} {
			add(name, 7, in(optest.Normal(r, a...), optest.Normal(r, b...)))
		}
		add("Div", 14, in(optest.Normal(r, a...), optest.Positive(r, b...)))
		add("Pow", 13, in(optest.Positive(r, a...), optest.Normal(r, b...)))
		for _, name := range []string{"Max", "Min"} {
			add(name, 8, in(optest.Normal(r, a...), optest.Normal(r, b...)))
		}
		add("Mod", 13, in(filled(5.7, a...), optest.Positive(r, b...)), onnxtest.Int("fmod", 1))
		add("Where", 9, in(alternating(a...), optest.Normal(r, a...), optest.Normal(r, b...)))
	}
	add("Mod", 13, in(optest.Positive(r, 2, 3), known{filled(0.4)}), onnxtest.Int("fmod", 1))
	add("ReduceProd", 13, in(op.Array{Type: filled(0).Type.With(2, 3), Data: []float64{0, 2, 3, 0, 0, 5}}), onnxtest.Ints("axes", 1))
	add("Pow", 7, in(optest.Normal(r, 2, 3), known{filled(2)}))
	add("Sum", 13, in(optest.Normal(r, 2, 3), optest.Normal(r, 3), optest.Normal(r)))
	add("Mean", 8, in(optest.Normal(r, 2, 3), optest.Normal(r, 3), optest.Normal(r, 2, 1)))
	add("PRelu", 7, in(optest.Away(optest.Normal(r, 2, 3), 0), optest.Normal(r, 3)))
	add("PRelu", 16, in(optest.Away(optest.Normal(r, 2, 3, 2), 0), optest.Normal(r, 3, 1)))
	add("Clip", 7, in(optest.Away(optest.Normal(r, 2, 3), -1, 1)), onnxtest.Float("min", -1), onnxtest.Float("max", 1))
	add("Clip", 10, in(optest.Away(optest.Normal(r, 2, 3), 0)), onnxtest.Float("min", 0))
	add("Clip", 11, in(optest.Away(optest.Normal(r, 2, 3), -1, 1), known{filled(-1)}, known{filled(1)}))
	add("Clip", 13, in(optest.Away(optest.Normal(r, 2, 3), 1), nil, known{filled(1)}))
	add("Clip", 13, in(optest.Away(optest.Normal(r, 2, 3), -1), filled(-1)))
	add("CastLike", 15, in(optest.Normal(r, 2, 3), known{filled(0)}))
	add("Cast", 13, in(optest.Normal(r, 2, 3)), onnxtest.Int("to", int64(onnx.Double)))
	add("ai.onnx.ml.Scaler", 1, in(optest.Normal(r, 2, 3)), onnxtest.Floats("offset", 1, -2, 3), onnxtest.Floats("scale", 0.5))
	add("ai.onnx.ml.ZipMap", 1, in(optest.Normal(r, 2, 3)), onnxtest.Ints("classlabels_int64s", 0, 1, 2))
	add("com.microsoft.BiasGelu", 1, in(optest.Normal(r, 2, 3), optest.Normal(r, 3)))
	add("com.microsoft.FastGelu", 1, in(optest.Normal(r, 2, 3), optest.Normal(r, 3)))
	add("com.microsoft.FastGelu", 1, in(optest.Normal(r, 2, 3)))
	return cases
}

// filled returns a DOUBLE array of one number.
func filled(v float64, shape ...int) op.Array {
	a := op.NewArray(op.Type{DType: onnx.Double, Shape: shape})
	for i := range op.Elem[float64](a) {
		op.Elem[float64](a)[i] = v
	}
	return a
}

// alternating returns a BOOL array that is true, false, true, ….
func alternating(shape ...int) op.Array {
	a := op.NewArray(op.Type{DType: onnx.Bool, Shape: shape})
	for i := range op.Elem[bool](a) {
		op.Elem[bool](a)[i] = i%2 == 0
	}
	return a
}

// reductionGradients are the cases of the operators that combine elements along
// axes, in the forms of their opsets.
func reductionGradients() []gradientCase {
	r := optest.Random()
	var cases []gradientCase
	for _, name := range []string{
		"ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp",
	} {
		inputs := int64(18) // axes became an input
		if name == "ReduceSum" {
			inputs = 13
		}
		for _, k := range []gradientCase{
			{opset: 7},
			{opset: 11, attrs: attributes(onnxtest.Ints("axes", -1), onnxtest.Int("keepdims", 0))},
			{opset: inputs - 1, attrs: attributes(onnxtest.Ints("axes", 0, 2))},
			{opset: inputs, in: in(op.Ints([]int64{1}, 1)), attrs: attributes(onnxtest.Int("keepdims", 0))},
			{opset: inputs, in: in(op.Ints([]int64{-2, 0}, 2))},
			{opset: 20, in: in(nil), attrs: attributes(onnxtest.Int("keepdims", 0))},
		} {
			k.operator, k.in = name, append(in(optest.Positive(r, 2, 3, 2)), k.in...)
			cases = append(cases, k)
		}
	}
	add := func(operator string, opset int64, inputs []any, attrs ...onnxtest.Attr) {
		cases = append(cases, gradientCase{operator: operator, opset: opset, in: inputs, attrs: attrs})
	}
	for _, name := range []string{"Softmax", "LogSoftmax"} {
		add(name, 11, in(optest.Normal(r, 2, 3, 2)))
		add(name, 12, in(optest.Normal(r, 2, 3, 2)), onnxtest.Int("axis", 2))
		add(name, 13, in(optest.Normal(r, 2, 3, 2)))
		add(name, 13, in(optest.Normal(r, 2, 3, 2)), onnxtest.Int("axis", 1))
		add(name, 13, in(optest.Normal(r, 4)), onnxtest.Int("axis", 0))
	}
	add("CumSum", 11, in(optest.Normal(r, 2, 3), op.Ints([]int64{1}, 1)))
	add("CumSum", 14, in(optest.Normal(r, 2, 3), op.Ints([]int64{-2}, 1)), onnxtest.Int("exclusive", 1), onnxtest.Int("reverse", 1))
	vectors := func(n int) []any { return in(optest.Normal(r, n), optest.Normal(r, n)) }
	add("LayerNormalization", 17, append(in(optest.Normal(r, 2, 3, 4)), vectors(4)...))
	add("LayerNormalization", 17, in(optest.Normal(r, 2, 3, 4), optest.Normal(r, 3, 4)), onnxtest.Int("axis", 1))
	cases = append(cases, gradientCase{operator: "LayerNormalization", opset: 17, in: in(optest.Normal(r, 2, 4), known{optest.Normal(r, 4)}, known{optest.Normal(r, 4)}), outputs: 3})
	for _, opset := range []int64{7, 9, 14, 15} {
		add("BatchNormalization", opset, append(in(optest.Normal(r, 2, 3, 2, 2)), append(vectors(3), optest.Normal(r, 3), optest.Positive(r, 3))...))
	}
	add("BatchNormalization", 15, append(in(optest.Normal(r, 4, 3)), append(vectors(3), optest.Normal(r, 3), optest.Positive(r, 3))...))
	add("InstanceNormalization", 7, append(in(optest.Normal(r, 2, 3, 4)), vectors(3)...))
	add("GroupNormalization", 18, append(in(optest.Normal(r, 2, 4, 3)), vectors(2)...), onnxtest.Int("num_groups", 2))
	add("GroupNormalization", 21, append(in(optest.Normal(r, 2, 4, 3, 1)), vectors(4)...), onnxtest.Int("num_groups", 2))
	add("LpNormalization", 7, in(optest.Normal(r, 2, 3)))
	add("LpNormalization", 22, in(optest.Away(optest.Normal(r, 2, 3), 0)), onnxtest.Int("axis", 0), onnxtest.Int("p", 1))
	add("MeanVarianceNormalization", 9, in(optest.Normal(r, 2, 3, 2, 2)))
	add("MeanVarianceNormalization", 13, in(optest.Normal(r, 2, 3, 4)), onnxtest.Ints("axes", 0, 2))
	add("RMSNormalization", 23, in(optest.Normal(r, 2, 3, 4), optest.Normal(r, 4)))
	add("RMSNormalization", 23, in(optest.Normal(r, 2, 3, 4), optest.Normal(r, 3, 4)), onnxtest.Int("axis", 1))
	for _, name := range []string{"SimplifiedLayerNormalization", "com.microsoft.SimplifiedLayerNormalization"} {
		cases = append(cases, gradientCase{operator: name, opset: 1, in: in(optest.Normal(r, 2, 3, 4), known{optest.Normal(r, 4)}), outputs: 2})
		add(name, 1, in(optest.Normal(r, 2, 3), optest.Normal(r, 3)))
	}
	skip := in(optest.Normal(r, 2, 3, 4), optest.Normal(r, 2, 3, 4), optest.Normal(r, 4), optest.Normal(r, 4), optest.Normal(r, 4))
	add("com.microsoft.SkipLayerNormalization", 1, skip)
	add("com.microsoft.SkipLayerNormalization", 1, skip[:3])
	add("com.microsoft.SkipSimplifiedLayerNormalization", 1, skip[:4])
	add("LRN", 13, in(optest.Normal(r, 2, 5, 2, 1)), onnxtest.Int("size", 3), onnxtest.Float("alpha", 0.5))
	add("LRN", 13, in(optest.Normal(r, 1, 4)), onnxtest.Int("size", 2), onnxtest.Float("beta", 0.5), onnxtest.Float("bias", 2))
	return cases
}
