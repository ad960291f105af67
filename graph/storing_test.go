package graph

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func TestStoring(t *testing.T) {
	b := vectorModel()
	b.Initializer(onnxtest.Tensor("half", onnx.Float16, []int{3}).Raw(make([]byte, 6)))
	b.Initializer(onnxtest.Tensor("bytes", onnx.Int8, []int{3}).Raw([]byte{1, 2, 3}))
	b.Float("scale", []int{3}, []float32{0.5, 0.25, 1})
	b.Float("val_1", []int{3, 3}, ramp(9))
	b.Node("Cast", []string{"half"}, []string{"wide"}, onnxtest.Int("to", int64(onnx.Float)))
	b.Node("DequantizeLinear", []string{"bytes", "scale"}, []string{"values"}, onnxtest.Int("axis", 0))
	b.Node("Add", []string{"x", "wide"}, []string{"s"})
	b.Node("Add", []string{"s", "values"}, []string{"u"})
	b.Node("MatMul", []string{"u", "val_1"}, []string{"p"}).Name("/a/MatMul")
	b.Node("Tanh", []string{"p"}, []string{"bent"})
	b.Node("MatMul", []string{"bent", "val_1"}, []string{"q"}).Name("/b/MatMul")
	n, err := Build(parse(t, finish(b, "q")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for tensor, want := range map[string]Storing{
		"half":        {Rounded: "FLOAT16"},
		"bytes":       {Rounded: "INT8 grid, axis 0", Dequantized: onnx.Float},
		"val_1":       {Shared: true},
		"head.weight": {},
	} {
		i := slices.IndexFunc(n.Weights, func(w *Weight) bool { return w.Tensor.Name == tensor })
		if i < 0 {
			t.Fatalf("%s is no weight", tensor)
		}
		if got := n.Storing(i); got != want {
			t.Errorf("%s: %+v, expected %+v", tensor, got, want)
		}
		if got := n.Sharers(i); len(got) > 0 != want.Shared || want.Shared && !slices.Equal(got, []string{"b.weight"}) {
			t.Errorf("%s: shared with %q", tensor, got)
		}
	}
}
