package graph

import (
	"errors"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestClassifier finds the last linear module by what it does, not by its name.
func TestClassifier(t *testing.T) {
	linear := func(b *onnxtest.Builder, in, weight, out string) {
		b.Float(weight+".weight", []int{3, 3}, ramp(9))
		b.Float(weight+".bias", []int{3}, ramp(4)[1:])
		b.Node("Gemm", []string{in, weight + ".weight", weight + ".bias"}, []string{out}, onnxtest.Int("transB", 1))
	}
	for name, test := range map[string]struct {
		build func(b *onnxtest.Builder)
		want  []string // tensors of the classifier; nil: there is none
	}{
		"another name": {func(b *onnxtest.Builder) {
			linear(b, "x", "head", "h")
			b.Node("Relu", []string{"h"}, []string{"r"})
			linear(b, "r", "out_proj", "logits")
		}, []string{"out_proj.weight", "out_proj.bias"}},
		"scaled afterwards": {func(b *onnxtest.Builder) {
			linear(b, "x", "fc", "z")
			b.Float("scale", []int{3}, ramp(4)[1:])
			b.Node("Mul", []string{"z", "scale"}, []string{"logits"})
		}, []string{"fc.weight", "fc.bias", "scale"}}, // what a map is followed by is of its module where no name says otherwise
		"normalised before": {func(b *onnxtest.Builder) {
			b.Float("norm.weight", []int{3}, ramp(4)[1:])
			b.Float("norm.bias", []int{3}, ramp(4)[1:])
			b.Node("LayerNormalization", []string{"x", "norm.weight", "norm.bias"}, []string{"n"}, onnxtest.Int("axis", -1))
			linear(b, "n", "fc", "logits")
		}, []string{"fc.weight", "fc.bias"}},
		"none": {func(b *onnxtest.Builder) {
			b.Float("scale", []int{3}, ramp(4)[1:])
			b.Node("Mul", []string{"x", "scale"}, []string{"logits"})
		}, nil},
	} {
		for _, noFuse := range []bool{false, true} {
			b := onnxtest.New(20)
			b.Input("image", onnx.Float, "batch", 3, 1, 1)
			b.Node("Flatten", []string{"image"}, []string{"x"})
			test.build(b)
			b.Output("logits", onnx.Float, "batch", "classes")
			n, err := Build(parse(t, b), Options{NoFuse: noFuse, Batch: 4})
			if err != nil {
				t.Fatal(err)
			}
			l, err := n.Classifier()
			if test.want == nil {
				var described *Error
				if !errors.As(err, &described) || described.Hint() == "" {
					t.Errorf("%s: %v, error %v", name, l, err)
				}
				continue
			}
			var got []string
			for _, w := range l.Weights {
				got = append(got, n.Weights[w].Tensor.Name)
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%s, unfused %v: %v, error %v, want %v", name, noFuse, got, err, test.want)
			}
		}
	}
}
