package lowering

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func TestReshapeLowerings(t *testing.T) {
	x := array(optest.Counting(2, 3, 4))
	empty := array(optest.Counting(0, 3))
	all := op.Elem[float64](*x)
	checkLowerings(t, []lowering{
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(0, -1)}, shape: []int{2, 12}, want: all},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector()}, fails: "expected a shape of 24 elements"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(-1, -1)}, fails: "more than one -1"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(5, -1)}, fails: "does not divide"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(24, 1, 1, 0)}, fails: "copies dimension 3"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(1<<30, 1<<30, 1<<30, -1)}, fails: "more than"},
		{operator: "Reshape", opset: 14, attrs: attributes(onnxtest.Int("allowzero", 1)), in: []*op.Array{empty, vector(3, 0)}, shape: []int{3, 0}},
		{operator: "Flatten", opset: 13, attrs: attributes(onnxtest.Int("axis", 3)), in: []*op.Array{x}, shape: []int{24, 1}, want: all},
		{operator: "Flatten", opset: 13, attrs: attributes(onnxtest.Int("axis", 4)), in: []*op.Array{x}, fails: "axis 4"},
		{operator: "Squeeze", opset: 11, in: []*op.Array{array(optest.Counting(1, 2, 1))}, shape: []int{2}, want: numbers(0, 1)},
		{operator: "Squeeze", opset: 11, attrs: attributes(onnxtest.Ints("axes", -1)), in: []*op.Array{array(optest.Counting(1, 2, 1))}, shape: []int{1, 2}, want: numbers(0, 1)},
		{operator: "Squeeze", opset: 13, in: []*op.Array{x, vector(1)}, fails: "has size 3, expected 1"},
		{operator: "Unsqueeze", opset: 11, attrs: attributes(onnxtest.Ints("axes", 0, 2)), in: []*op.Array{array(optest.Counting(2))}, shape: []int{1, 2, 1}, want: numbers(0, 1)},
		{operator: "Unsqueeze", opset: 13, in: []*op.Array{array(optest.Counting(2)), vector(-1, 3)}, fails: "axis 3"},
		{operator: "Unsqueeze", opset: 13, in: []*op.Array{array(optest.Counting(2)), vector(1, -2)}, fails: "twice"},
	})
}
