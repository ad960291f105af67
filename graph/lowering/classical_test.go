package lowering

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func TestScaler(t *testing.T) {
	floats, ints := array(op.Floats([]float32{1, 2, 3, 4}, 2, 2)), array(op.Ints([]int64{1, 2, 3, 4}, 2, 2))
	for _, x := range []*op.Array{floats, ints} {
		checkLowerings(t, []lowering{
			{operator: "ai.onnx.ml.Scaler", opset: 1, in: []*op.Array{x}, shape: []int{2, 2}, want: numbers(1, 2, 3, 4)},
			{operator: "ai.onnx.ml.Scaler", opset: 1, in: []*op.Array{x}, attrs: []onnxtest.Attr{onnxtest.Floats("offset", 1), onnxtest.Floats("scale", 0.5, 10)},
				shape: []int{2, 2}, want: numbers(0, 10, 1, 30)},
			{operator: "ai.onnx.ml.Scaler", opset: 1, in: []*op.Array{x}, attrs: []onnxtest.Attr{onnxtest.Floats("scale", 1, 2, 3)}, fails: "3 numbers in attribute scale"},
		})
	}
	checkLowerings(t, []lowering{ // which would make more of them
		{operator: "ai.onnx.ml.Scaler", opset: 1, in: []*op.Array{array(op.Floats([]float32{1, 2}, 2, 1))}, attrs: []onnxtest.Attr{onnxtest.Floats("offset", 1, 2)}, fails: "2 numbers in attribute offset"},
	})
}
