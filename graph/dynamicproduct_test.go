package graph

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// dynamicProduct is a network of one dynamically quantised product, a ConvInteger or one
// of the operators of matrices.
func dynamicProduct(form string) *integers {
	b := newIntegers()
	x, classes, w := "image", 8, []string(nil)
	if form == "ConvInteger" {
		w = b.weight("conv.weight", 1, 2, 3, 3, 3)
	} else {
		b.Node("Flatten", []string{"image"}, []string{"flat"})
		x, w = "flat", b.weight("fc.weight", 1, 48, classes)
	}
	if form == "DynamicQuantizeMatMul" {
		b.Node(form, []string{x, w[0], w[1], w[2]}, []string{"logits"}).Domain(domain)
	} else {
		b.Node("DynamicQuantizeLinear", []string{x}, []string{"q", "s", "z"})
		b.Node(form, []string{"q", w[0], "z", w[2]}, []string{"i"})
		b.Node("Cast", []string{"i"}, []string{"f"}, onnxtest.Int("to", int64(onnx.Float)))
		b.Node("Mul", []string{"s", w[1]}, []string{"m"})
		b.Node("Mul", []string{"f", "m"}, []string{"y"})
		b.Node("Flatten", []string{"y"}, []string{"logits"})
	}
	b.Output("logits", onnx.Float, "batch", classes)
	return b
}

// TestDynamicProduct: the result is that of ONNX Runtime 1.32 to the last bit.
func TestDynamicProduct(t *testing.T) {
	matrix := []float32{-1.6016002, -3.6914902, -3.018723, 0.23198865, 2.9365938, 3.5852678, 1.1339837, -1.5903536, -1.6924846, 1.9731201, 3.7640789, 2.7932463, -0.060260512, -3.0382085, -3.575504, -1.7002465}
	wants := map[string][]float32{
		"ConvInteger":           {0.95934135, 0.059353963, -0.21081322, 0.79861194, 0.42907706, -0.26913193, 0.17379542, 0.69595027, -0.19556832, 0.81216055, -0.69621825, -1.0995231, 0.18490553, 0.7007186, -0.6569384, -0.6293405},
		"MatMulInteger":         matrix,
		"DynamicQuantizeMatMul": matrix,
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for form, want := range wants {
			n, err := Build(parse(t, dynamicProduct(form).Builder), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := logitsFor(t, on, n, ramp(2*48)); !slices.Equal(slices.Concat(got...), want) {
				t.Errorf("%s: %v, want %v", form, got, want)
			}
		}
	})
}
