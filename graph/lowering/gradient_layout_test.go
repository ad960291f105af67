package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// layoutGradients are the cases of the operators that move and select elements.
func layoutGradients() []gradientCase {
	r := optest.Random()
	var cases []gradientCase
	add := func(operator string, opset int64, in []any, attrs ...onnxtest.Attr) {
		cases = append(cases, gradientCase{operator: operator, opset: opset, in: in, attrs: attrs})
	}
	ints := func(v ...int64) op.Array { return op.Ints(v, len(v)) }
	number := func(v int64) op.Array { return op.Ints([]int64{v}) }

	add("Reshape", 7, in(optest.Normal(r, 2, 3, 2), ints(0, -1)))
	add("Reshape", 14, in(optest.Normal(r, 2, 6), ints(3, 4)), onnxtest.Int("allowzero", 1))
	add("Flatten", 7, in(optest.Normal(r, 2, 3, 2)))
	add("Flatten", 11, in(optest.Normal(r, 2, 3, 2)), onnxtest.Int("axis", -1))
	add("Squeeze", 11, in(optest.Normal(r, 2, 1, 3, 1)), onnxtest.Ints("axes", 1))
	add("Squeeze", 13, in(optest.Normal(r, 2, 1, 3, 1), ints(-1)))
	add("Squeeze", 13, in(optest.Normal(r, 2, 1, 3, 1)))
	add("Unsqueeze", 11, in(optest.Normal(r, 2, 3)), onnxtest.Ints("axes", 0, 3))
	add("Unsqueeze", 13, in(optest.Normal(r, 2, 3), ints(-1)))
	add("Transpose", 7, in(optest.Normal(r, 2, 3, 4)))
	add("Transpose", 13, in(optest.Normal(r, 2, 3, 4)), onnxtest.Ints("perm", 1, 0, 2))
	for _, mode := range []string{"DCR", "CRD"} {
		add("DepthToSpace", 13, in(optest.Normal(r, 1, 8, 1, 2)), onnxtest.Int("blocksize", 2), onnxtest.String("mode", mode))
	}
	add("SpaceToDepth", 13, in(optest.Normal(r, 1, 2, 2, 4)), onnxtest.Int("blocksize", 2))
	add("Slice", 9, in(optest.Normal(r, 3, 4)), onnxtest.Ints("starts", 0, 1), onnxtest.Ints("ends", 2, 100))
	add("Slice", 10, in(optest.Normal(r, 3, 4), ints(1), ints(-1), ints(1)))
	add("Slice", 13, in(optest.Normal(r, 3, 5), ints(-1, 0), ints(-100, 5), ints(1, 0), ints(-2, 2)))
	for _, k := range []gradientCase{
		{opset: 7, attrs: attributes(onnxtest.Int("axis", 1))},
		{opset: 11, attrs: attributes(onnxtest.Int("axis", 1), onnxtest.Ints("split", 1, 3))},
		{opset: 13, in: in(ints(3, 1)), attrs: attributes(onnxtest.Int("axis", -1))},
		{opset: 18, attrs: attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 2))},
	} {
		k.operator, k.outputs, k.in = "Split", 2, append(in(optest.Normal(r, 2, 4)), k.in...)
		cases = append(cases, k)
	}
	add("Concat", 7, in(optest.Normal(r, 2, 3), optest.Normal(r, 2, 1)), onnxtest.Int("axis", 1))
	add("Concat", 13, in(optest.Normal(r, 2, 3), optest.Normal(r, 1, 3), optest.Normal(r, 2, 3)), onnxtest.Int("axis", -2))
	add("Expand", 8, in(optest.Normal(r, 3, 1), ints(2, 1, 4)))
	add("Tile", 13, in(optest.Normal(r, 2, 3), ints(2, 2)))
	add("Gather", 7, in(optest.Normal(r, 3, 2), op.Ints([]int64{2, 0, 0, 1}, 2, 2)))
	add("Gather", 13, in(optest.Normal(r, 2, 3), number(-1)), onnxtest.Int("axis", 1))
	add("GatherElements", 13, in(optest.Normal(r, 2, 3), op.Ints([]int64{0, 0, -1, 2}, 2, 2)), onnxtest.Int("axis", 1))
	add("GatherND", 11, in(optest.Normal(r, 2, 3), op.Ints([]int64{1, 2, 0, 0}, 2, 2)))
	add("GatherND", 12, in(optest.Normal(r, 2, 3, 2), op.Ints([]int64{2, 0}, 2, 1)), onnxtest.Int("batch_dims", 1))
	for _, name := range []string{"Scatter", "ScatterElements"} {
		add(name, 11, in(optest.Normal(r, 2, 3), op.Ints([]int64{1, 0, 0}, 1, 3), optest.Normal(r, 1, 3)))
	}
	add("ScatterElements", 16, in(optest.Normal(r, 2, 3), op.Ints([]int64{2, 2, -1, 0}, 2, 2), optest.Normal(r, 2, 2)), onnxtest.Int("axis", 1), onnxtest.String("reduction", "add"))
	add("ScatterND", 11, in(optest.Normal(r, 4, 2), op.Ints([]int64{1, -1, 1}, 3, 1), optest.Normal(r, 3, 2)))
	add("ScatterND", 16, in(optest.Normal(r, 4, 2), op.Ints([]int64{1, -1, 1}, 3, 1), optest.Normal(r, 3, 2)), onnxtest.String("reduction", "add"))
	add("TopK", 7, in(optest.Normal(r, 2, 4)), onnxtest.Int("k", 2))
	add("TopK", 11, in(optest.Normal(r, 3, 2), ints(2)), onnxtest.Int("axis", 0), onnxtest.Int("largest", 0))
	add("OneHot", 11, in(ints(0, -1, 5), number(3), optest.Normal(r, 2)))
	add("OneHot", 9, in(op.Ints([]int64{0, 1, 1, 2}, 2, 2), number(3), optest.Normal(r, 2)), onnxtest.Int("axis", 1))
	add("Pad", 7, in(optest.Normal(r, 2, 3)), onnxtest.Ints("pads", 1, 0, 0, 2), onnxtest.Float("value", 2))
	add("Pad", 11, in(optest.Normal(r, 2, 3), ints(0, 1, 1, -1), known{filled(2)}))
	add("Pad", 18, in(optest.Normal(r, 2, 3), ints(1, 1), nil, ints(-1)), onnxtest.String("mode", "reflect"))
	add("Pad", 19, in(optest.Normal(r, 2, 3), ints(1, 1, 0, 2)), onnxtest.String("mode", "wrap"))
	add("Pad", 13, in(optest.Normal(r, 2, 3), ints(1, 1, 0, 2)), onnxtest.String("mode", "edge"))
	scales := known{op.Array{Type: filled(0).Type.With(4), Data: []float64{1, 1, 2, 1.5}}}
	add("Upsample", 7, in(optest.Normal(r, 1, 2, 2, 2)), onnxtest.Floats("scales", 1, 1, 2, 1.5))
	add("Upsample", 9, in(optest.Normal(r, 1, 2, 2, 2), scales), onnxtest.String("mode", "linear"))
	add("Resize", 10, in(optest.Normal(r, 1, 2, 2, 2), scales))
	for _, mode := range []string{"nearest", "linear", "cubic"} {
		add("Resize", 11, in(optest.Normal(r, 1, 1, 3, 4), nil, nil, ints(1, 1, 5, 2)), onnxtest.String("mode", mode))
		add("Resize", 19, in(optest.Normal(r, 1, 1, 3, 4), nil, nil, ints(5, 2)), onnxtest.String("mode", mode),
			onnxtest.Ints("axes", 2, 3), onnxtest.String("coordinate_transformation_mode", "align_corners"))
	}
	add("Resize", 18, in(optest.Normal(r, 1, 1, 3, 5), nil, nil, ints(1, 1, 2, 3)), onnxtest.String("mode", "cubic"), onnxtest.Int("antialias", 1))
	add("Trilu", 14, in(optest.Normal(r, 2, 3, 3)))
	add("Trilu", 14, in(optest.Normal(r, 3, 4), number(-1)), onnxtest.Int("upper", 0))
	return cases
}
