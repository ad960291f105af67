package report

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// inspection is that of a small model with a weight, an operator of the given
// type behind it, a shared weight and a tensor that is none.
func inspection(t *testing.T, op string) *Inspect {
	t.Helper()
	b := onnxtest.New(20)
	b.Input("pixels", onnx.Float, "batch", 3, 2, 2)
	b.Float("body.weight", []int{12, 3}, make([]float32, 36))
	b.Float("head.shift", []int{3}, make([]float32, 3))
	b.Float("scale", []int{}, []float32{2})
	b.Node("Flatten", []string{"pixels"}, []string{"flat"})
	b.Node(op, []string{"flat", "body.weight"}, []string{"product"}).Name("body")
	b.Node("Add", []string{"product", "head.shift"}, []string{"shifted"}).Name("first")
	b.Node("Mul", []string{"shifted", "scale"}, []string{"scaled"}).Name("scaling")
	b.Node("Add", []string{"scaled", "head.shift"}, []string{"logits"}).Name("second")
	b.Output("logits", onnx.Float, "batch", 3)
	model, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	in, err := graph.Inspect(model, graph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	described := Model{Path: "small.onnx", Producer: "onnxtest", Opset: 20, IRVersion: 10}
	if n := in.Network; n != nil {
		described.Parameters, described.Classes, described.Family = n.Parameters(), n.Classes, n.Family()
	}
	return &Inspect{Model: described, Input: "pixels FLOAT NCHW of 2×2", Output: "logits", Inspection: in}
}

// probe is what could have been computed of the same model.
func probe(t *testing.T) *Probe {
	t.Helper()
	in := inspection(t, "MatMul")
	return &Probe{
		Model: in.Model, Network: in.Inspection.Network, Labels: []int{1, 0},
		Result: &graph.ProbeResult{
			Logits:        [][]float32{{0.1, 2, -1}, {0, 0, 0}},
			Probabilities: [][]float64{{0.125, 0.8125, 0.0625}, {0.25, 0.5, 0.25}},
			Losses:        []float64{0.2076, 1.3863}, Loss: 0.79695,
			Weights: []graph.GradientNorms{{Weight: 0, WNorm: 1, GNorm: 2, GDotW: -0.5}, {Weight: 1, WNorm: 1, GNorm: 0.5}},
			Layers:  []graph.LayerGradient{{Name: "embed", GNorm: 2}, {Name: "head", GNorm: 0.5}},
		},
	}
}
