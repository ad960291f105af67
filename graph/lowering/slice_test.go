package lowering

import (
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func TestSliceLowerings(t *testing.T) {
	x := array(optest.Counting(5))
	checkLowerings(t, []lowering{
		{operator: "Slice", opset: 9, attrs: attributes(onnxtest.Ints("starts", 1), onnxtest.Ints("ends", math.MaxInt64)), in: []*op.Array{x}, shape: []int{4}, want: numbers(1, 2, 3, 4)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(-1), vector(math.MinInt64), vector(0), vector(-2)}, shape: []int{3}, want: numbers(4, 2, 0)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(math.MaxInt64), vector(math.MinInt64), nil, vector(math.MinInt64)}, shape: []int{1}, want: numbers(4)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(3), vector(1)}, shape: []int{0}},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0), vector(9), vector(-1), vector(2)}, shape: []int{3}, want: numbers(0, 2, 4)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0), vector(9), vector(0), vector(0)}, fails: "step 0"},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0, 0), vector(9)}, fails: "as many starts"},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0), vector(9), vector(1)}, fails: "axis 1"},
		{operator: "Concat", opset: 13, attrs: attributes(onnxtest.Int("axis", -1)), in: []*op.Array{x, array(optest.Counting(2))}, shape: []int{7}, want: numbers(0, 1, 2, 3, 4, 0, 1)},
		{operator: "Concat", opset: 13, attrs: attributes(onnxtest.Int("axis", 0)), in: []*op.Array{x, array(optest.Counting(2, 2))}, fails: "differ along axis 0 only"},
		{operator: "Expand", opset: 13, in: []*op.Array{array(optest.Counting(2, 1)), vector(3, 1, 2)}, shape: []int{3, 2, 2}, want: numbers(0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1)},
		{operator: "Expand", opset: 13, in: []*op.Array{x, vector(3)}, fails: "do not broadcast"},
		{operator: "Tile", opset: 13, in: []*op.Array{array(optest.Counting(1, 2)), vector(2, 2)}, shape: []int{2, 4}, want: numbers(0, 1, 0, 1, 0, 1, 0, 1)},
		{operator: "Tile", opset: 13, in: []*op.Array{x, vector(1 << 30)}, fails: "over the limit"},
		{operator: "Transpose", opset: 13, in: []*op.Array{array(optest.Counting(2, 2))}, shape: []int{2, 2}, want: numbers(0, 2, 1, 3)},
		{operator: "Transpose", opset: 13, attrs: attributes(onnxtest.Ints("perm", 0, 0)), in: []*op.Array{array(optest.Counting(2, 2))}, fails: "expected a permutation"},
		{operator: "DepthToSpace", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2)), in: []*op.Array{array(optest.Counting(1, 8, 1, 1))}, shape: []int{1, 2, 2, 2}, want: numbers(0, 2, 4, 6, 1, 3, 5, 7)},
		{operator: "DepthToSpace", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2), onnxtest.String("mode", "CRD")), in: []*op.Array{array(optest.Counting(1, 8, 1, 1))}, shape: []int{1, 2, 2, 2}, want: numbers(0, 1, 2, 3, 4, 5, 6, 7)},
		{operator: "SpaceToDepth", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2)), in: []*op.Array{array(optest.Counting(1, 1, 2, 2))}, shape: []int{1, 4, 1, 1}, want: numbers(0, 1, 2, 3)},
	})
}

func TestSplit(t *testing.T) {
	x := array(optest.Counting(1, 5))
	for _, k := range []struct {
		opset   int64
		attrs   []onnxtest.Attr
		in      []*op.Array
		outputs int
		want    []int // the sizes
		fails   string
	}{
		{11, attributes(onnxtest.Int("axis", 1), onnxtest.Ints("split", 2, 3)), []*op.Array{x}, 2, []int{2, 3}, ""},
		{13, attributes(onnxtest.Int("axis", -1)), []*op.Array{x, vector(1, 0, 4)}, 3, []int{1, 0, 4}, ""},
		{18, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 3)), []*op.Array{x}, 3, []int{2, 2, 1}, ""},
		{18, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 4)), []*op.Array{x}, 4, []int{2, 2, 1, 0}, ""},
		{13, attributes(onnxtest.Int("axis", 1)), []*op.Array{x, vector(2, 2)}, 2, nil, "add up to the 5 of axis 1"},
		{13, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 1<<40)), []*op.Array{x}, 2, nil, "cannot be split"},
	} {
		out, err := lowerNode(t, k.opset, "Split", k.outputs, k.in, k.attrs...)
		if k.fails != "" {
			checkFails(t, err, k.fails)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		at := 0.0
		for i, v := range out {
			if v.Type.Shape[1] != k.want[i] {
				t.Errorf("split %v: part %d has size %d", k.want, i, v.Type.Shape[1])
			}
			for _, x := range v.Const.AsFloats() {
				if x != at {
					t.Errorf("split %v: part %d holds %g, want %g", k.want, i, x, at)
				}
				at++
			}
		}
	}
}
