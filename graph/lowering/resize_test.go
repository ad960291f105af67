package lowering

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func TestResizeGradients(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		sizes := op.Ints([]int64{2, 1, 5, 3}, 4)
		for _, mode := range []string{"nearest", "linear", "cubic"} {
			for _, coordinate := range []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"} {
				t.Run(mode+" "+coordinate, func(t *testing.T) {
					optest.ProgramGradient(t, on, func(p *op.Program, in []*op.Value) (*op.Value, error) {
						out, err := lowerValues(t, p, 13, "Resize", 1, []*op.Value{in[0], nil, nil, p.Constant(sizes)},
							onnxtest.String("mode", mode), onnxtest.String("coordinate_transformation_mode", coordinate))
						if err != nil {
							return nil, err
						}
						return out[0], nil
					}, optest.Normal(r, 2, 1, 3, 4))
				})
			}
		}
	})
}

// Small cases computed by hand from the formulas of the ONNX specification; the
// three of five elements are results of onnxruntime 1.32.
func TestResizeLowerings(t *testing.T) {
	of := func(v ...float64) *op.Array {
		return array(op.Array{Type: op.Type{DType: onnx.Double, Shape: []int{1, 1, 1, len(v)}}, Data: v})
	}
	scales := func(v ...float32) *op.Array { return array(op.Floats(v, len(v))) }
	squares := of(0, 1, 4, 2, 2, 4, 1, 0, 1, 4) // modulo 7
	text := onnxtest.String
	checkLowerings(t, []lowering{
		{operator: "Resize", opset: 10, in: []*op.Array{of(1, 2), scales(1, 1, 1, 2)}, shape: []int{1, 1, 1, 4}, want: numbers(1, 1, 2, 2)},
		{operator: "Resize", opset: 13, attrs: attributes(text("mode", "linear")), in: []*op.Array{of(1, 2), nil, scales(1, 1, 1, 2)}, shape: []int{1, 1, 1, 4}, want: numbers(1, 1.25, 1.75, 2)},
		{operator: "Resize", opset: 13, attrs: attributes(text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")), in: []*op.Array{of(1, 2), nil, scales(1, 1, 1, 2)}, shape: []int{1, 1, 1, 4}, want: numbers(1, 4./3, 5./3, 2)},
		{operator: "Resize", opset: 13, attrs: attributes(text("mode", "cubic")), in: []*op.Array{of(1, 2, 3, 4), nil, scales(1, 1, 1, 2)}, shape: []int{1, 1, 1, 8}, want: numbers(0.89453125, 1.19140625, 1.66796875, 2.296875, 2.703125, 3.33203125, 3.80859375, 4.10546875)},
		{operator: "Resize", opset: 18, attrs: attributes(text("mode", "linear"), onnxtest.Ints("axes", 3)), in: []*op.Array{of(1, 2), nil, nil, vector(4)}, shape: []int{1, 1, 1, 4}, want: numbers(1, 1.25, 1.75, 2)},
		{operator: "Resize", opset: 11, attrs: attributes(text("nearest_mode", "ceil")), in: []*op.Array{of(1, 2, 3, 4), scales(), scales(), vector(1, 1, 1, 2)}, shape: []int{1, 1, 1, 2}, want: numbers(2, 4)},
		{operator: "Upsample", opset: 9, in: []*op.Array{of(1, 2), scales(1, 1, 1, 3)}, shape: []int{1, 1, 1, 6}, want: numbers(1, 1, 1, 2, 2, 2)},
		{operator: "Upsample", opset: 7, attrs: attributes(text("mode", "linear"), onnxtest.Floats("scales", 1, 1, 1, 2)), in: []*op.Array{of(1, 2)}, shape: []int{1, 1, 1, 4}, want: numbers(1, 1.5, 2, 2)},
		// Coordinates that float64 puts just below a whole number.
		{operator: "Resize", opset: 19, attrs: attributes(text("nearest_mode", "floor")), in: []*op.Array{of(1, 4, 2, 8, 5), nil, scales(1, 1, 1, 0.6)}, shape: []int{1, 1, 1, 3}, want: numbers(1, 2, 8)},
		{operator: "Resize", opset: 19, attrs: attributes(text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel_symmetric")), in: []*op.Array{of(1, 4, 2, 8, 5), nil, scales(1, 1, 1, 1.7)}, shape: []int{1, 1, 1, 8}, want: numbers(1, 2.588235, 3.764706, 2.588235, 3.764705, 7.294117, 6.588236, 5)},
		{operator: "Resize", opset: 19, attrs: attributes(text("mode", "cubic"), onnxtest.Int("exclude_outside", 1)), in: []*op.Array{of(1, 4, 2, 8, 5), nil, scales(1, 1, 1, 1.7)}, shape: []int{1, 1, 1, 8}, want: numbers(0.642946, 2.11847, 3.971605, 2.492602, 2.630567, 6.79388, 7.614719, 5.234083)},
		{operator: "Resize", opset: 13, attrs: attributes(text("coordinate_transformation_mode", "tf_crop_and_resize")), in: []*op.Array{of(1), nil, scales(1, 1, 1, 2)}, fails: "tf_crop_and_resize"},
		// Shrunk through a stretched filter: results of onnxruntime 1.32.
		{operator: "Resize", opset: 18, attrs: attributes(text("mode", "linear"), onnxtest.Int("antialias", 1), onnxtest.Int("exclude_outside", 0)), in: []*op.Array{squares, nil, nil, vector(1, 1, 1, 4)}, shape: []int{1, 1, 1, 4}, want: numbers(1.24, 2.6, 1.76, 2)},
		{operator: "Resize", opset: 18, attrs: attributes(text("mode", "linear"), onnxtest.Int("antialias", 1), onnxtest.Int("exclude_outside", 1)), in: []*op.Array{squares, nil, nil, vector(1, 1, 1, 4)}, shape: []int{1, 1, 1, 4}, want: numbers(1.409091, 2.6, 1.76, 1.727273)},
		{operator: "Resize", opset: 18, attrs: attributes(text("mode", "cubic"), onnxtest.Int("antialias", 1), onnxtest.Int("exclude_outside", 0)), in: []*op.Array{squares, nil, nil, vector(1, 1, 1, 4)}, shape: []int{1, 1, 1, 4}, want: numbers(1.2487, 2.9285, 1.5647, 1.8068)},
		{operator: "Resize", opset: 18, attrs: attributes(text("mode", "cubic"), onnxtest.Int("antialias", 1), onnxtest.Int("exclude_outside", 1)), in: []*op.Array{squares, nil, nil, vector(1, 1, 1, 4)}, shape: []int{1, 1, 1, 4}, want: numbers(1.336938, 2.874178, 1.609874, 1.651820)},
		{operator: "Resize", opset: 13, in: []*op.Array{of(1)}, fails: "either scales or sizes"},
		{operator: "Resize", opset: 13, in: []*op.Array{of(1), nil, scales(1, 1, 1, 0)}, fails: "cannot be resized"},
	})
}
