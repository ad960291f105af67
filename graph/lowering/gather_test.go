package lowering

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// Cases as in the examples of the ONNX specification.
func TestPickLowerings(t *testing.T) {
	square := array(op.Array{Type: op.Type{DType: onnx.Double, Shape: []int{2, 2}}, Data: []float64{1, 2, 3, 4}})
	table := array(op.Ints([]int64{0, 0, 1, 0}, 2, 2))
	checkLowerings(t, []lowering{
		{operator: "GatherElements", opset: 13, attrs: attributes(onnxtest.Int("axis", 1)), in: []*op.Array{square, table}, shape: []int{2, 2}, want: numbers(1, 1, 4, 3)},
		{operator: "GatherElements", opset: 13, in: []*op.Array{square, array(op.Ints([]int64{2}, 1, 1))}, fails: "index 2"},
		{operator: "GatherND", opset: 13, in: []*op.Array{square, array(op.Ints([]int64{0, 0, 1, 1}, 2, 2))}, shape: []int{2}, want: numbers(1, 4)},
		{operator: "GatherND", opset: 13, in: []*op.Array{square, array(op.Ints([]int64{1, 0}, 2, 1))}, shape: []int{2, 2}, want: numbers(3, 4, 1, 2)},
		{operator: "GatherND", opset: 13, attrs: attributes(onnxtest.Int("batch_dims", 1)), in: []*op.Array{square, array(op.Ints([]int64{1, 0}, 2, 1))}, shape: []int{2}, want: numbers(2, 3)},
		{operator: "GatherND", opset: 13, in: []*op.Array{square, array(op.Ints([]int64{-3}, 1, 1))}, fails: "index -3"},
		{operator: "Trilu", opset: 14, in: []*op.Array{square}, shape: []int{2, 2}, want: numbers(1, 2, 0, 4)},
		{operator: "Trilu", opset: 14, attrs: attributes(onnxtest.Int("upper", 0)), in: []*op.Array{square, vector(-1)}, shape: []int{2, 2}, want: numbers(0, 0, 3, 0)},
		{operator: "ScatterElements", opset: 16, attrs: attributes(onnxtest.String("reduction", "max")), in: []*op.Array{square, table, square}, fails: `reduction "max" is not supported`},
		{operator: "ScatterElements", opset: 16, attrs: attributes(onnxtest.String("reduction", "add")), in: []*op.Array{square, table, square}, shape: []int{2, 2}, want: numbers(2, 8, 6, 4)},
		{operator: "ScatterElements", opset: 11, in: []*op.Array{square, table, square}, shape: []int{2, 2}, want: numbers(1, 4, 3, 4)},
		{operator: "ScatterElements", opset: 11, in: []*op.Array{square, array(op.Ints([]int64{2}, 1, 1)), array(optest.Counting(1, 1))}, fails: "index 2"},
		{operator: "ScatterND", opset: 16, attrs: attributes(onnxtest.String("reduction", "add")), in: []*op.Array{square, array(op.Ints([]int64{1, 1}, 2, 1)), square}, shape: []int{2, 2}, want: numbers(1, 2, 7, 10)},
		{operator: "ArgMax", opset: 13, attrs: attributes(onnxtest.Int("keepdims", 0), onnxtest.Int("axis", 1)), in: []*op.Array{array(op.Array{Type: square.Type, Data: []float64{1, 1, 3, 4}})}, shape: []int{2}, want: numbers(0, 1)},
		{operator: "ArgMax", opset: 13, attrs: attributes(onnxtest.Int("select_last_index", 1), onnxtest.Int("axis", 1)), in: []*op.Array{array(op.Array{Type: square.Type, Data: []float64{1, 1, 3, 4}})}, shape: []int{2, 1}, want: numbers(1, 1)},
		{operator: "ArgMin", opset: 13, in: []*op.Array{array(op.Array{Type: square.Type, Data: []float64{1, 5, 3, 4}})}, shape: []int{1, 2}, want: numbers(0, 1)},
		{operator: "TopK", opset: 11, in: []*op.Array{array(op.Array{Type: op.Type{DType: onnx.Double, Shape: []int{1, 4}}, Data: []float64{1, 5, 3, 5}}), vector(3)}, shape: []int{1, 3}, want: numbers(5, 5, 3)},
		{operator: "TopK", opset: 11, attrs: attributes(onnxtest.Int("largest", 0), onnxtest.Int("axis", 0)), in: []*op.Array{square, vector(1)}, shape: []int{1, 2}, want: numbers(1, 2)},
		{operator: "TopK", opset: 11, in: []*op.Array{square, vector(3)}, fails: "expected at least 3 elements"},
		{operator: "OneHot", opset: 11, in: []*op.Array{vector(0, -1, 3), vector(3), vector(5, 7)}, shape: []int{3, 3}, want: numbers(7, 5, 5, 5, 5, 7, 5, 5, 5)},
		{operator: "OneHot", opset: 11, attrs: attributes(onnxtest.Int("axis", 0)), in: []*op.Array{vector(0, 1), vector(2), vector(0, 1)}, shape: []int{2, 2}, want: numbers(1, 0, 0, 1)},
		{operator: "OneHot", opset: 11, in: []*op.Array{array(op.Ints([]int64{1})), vector(2), vector(0, 1)}, shape: []int{2}, want: numbers(0, 1)},
		{operator: "OneHot", opset: 11, in: []*op.Array{vector(0), vector(1 << 40), vector(0, 1)}, fails: "depth 1099511627776 is out of range"},
		{operator: "NonZero", opset: 13, in: []*op.Array{array(op.Ints([]int64{0, 2, 3, 0}, 2, 2))}, shape: []int{2, 2}, want: numbers(0, 1, 1, 0)},
		{operator: "EyeLike", opset: 9, attrs: attributes(onnxtest.Int("k", 1)), in: []*op.Array{square}, shape: []int{2, 2}, want: numbers(0, 1, 0, 0)},
		{operator: "CumSum", opset: 14, in: []*op.Array{square, vector(1)}, shape: []int{2, 2}, want: numbers(1, 3, 3, 7)},
		{operator: "CumSum", opset: 14, attrs: attributes(onnxtest.Int("exclusive", 1), onnxtest.Int("reverse", 1)), in: []*op.Array{square, vector(-2)}, shape: []int{2, 2}, want: numbers(3, 4, 0, 0)},
	})
}
