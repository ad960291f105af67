package view

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/google/go-cmp/cmp"
)

// inspection is that of a small model with a weight, an operator of the given
// type behind it, a shared weight and a tensor that is none.
func inspection(t *testing.T, op string) (*graph.Inspection, *report.Inspect) {
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
	inspected, err := graph.Inspect(model, graph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := Inspect(inspected, nil)
	in.Model = report.Model{Path: "small.onnx", Producer: "onnxtest", Opset: 20, IRVersion: 10}
	if n := inspected.Network; n != nil {
		in.Model.Parameters, in.Model.Classes, in.Model.Family = n.Parameters(), n.Classes, n.Family()
	}
	in.Input, in.Output = "pixels FLOAT NCHW of 2×2", "logits"
	return inspected, in
}

// probed is what could have been computed of the same model.
func probed(t *testing.T) *report.Probe {
	inspected, in := inspection(t, "MatMul")
	p := Probe(inspected.Network, []int{1, 0}, &graph.ProbeResult{
		Logits:        [][]float32{{0.1, 2, -1}, {0, 0, 0}},
		Probabilities: [][]float64{{0.125, 0.8125, 0.0625}, {0.25, 0.5, 0.25}},
		Losses:        []float64{0.2076, 1.3863}, Loss: 0.79695,
		Weights: []graph.GradientNorms{{Weight: 0, WNorm: 1, GNorm: 2, GDotW: -0.5}, {Weight: 1, WNorm: 1, GNorm: 0.5}},
		Layers:  []graph.LayerGradient{{Name: "body", GNorm: 2.0615528128088303}},
	})
	p.Model = in.Model
	return p
}

// TestGoldenFiles: what is said of a network is what report's golden files, from
// which report's own tests begin, have.
func TestGoldenFiles(t *testing.T) {
	_, runs := inspection(t, "MatMul")
	_, refused := inspection(t, "Frobnicate")
	for name, result := range map[string]report.Result{"inspect": runs, "refused": refused, "probe": probed(t)} {
		for format, ending := range map[string]string{"text": "txt", "json": "json"} {
			var got bytes.Buffer
			if err := report.Write(&got, result, format, report.Style{}); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "report", "testdata", name+"."+ending))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s.%s: %s", name, ending, diff)
			}
		}
	}
}

// TestNotFinite: raw tensors may give numbers that JSON has no word for, and they
// are null.
func TestNotFinite(t *testing.T) {
	nan, infinite := math.NaN(), float32(math.Inf(1))
	network := &graph.Network{Weights: []*graph.Weight{{Name: "w", Tensor: &onnx.Tensor{Shape: []int{2}}}}}
	p := Probe(network, []int{0}, &graph.ProbeResult{
		Logits: [][]float32{{infinite, 0.1}}, Probabilities: [][]float64{{nan, 0}}, Losses: []float64{nan}, Loss: nan,
		Weights: []graph.GradientNorms{{GNorm: nan}}, Layers: []graph.LayerGradient{{Name: "head", GNorm: nan}},
	})
	var out, compact bytes.Buffer
	if err := report.Write(&out, p, "json", report.Style{}); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&compact, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"logits":[[null,0.1]]`, `"probabilities":[[null,0]]`, `"loss":null`, `"losses":[null]`, `"g_norm":null`} {
		if !strings.Contains(compact.String(), want) {
			t.Errorf("%s is missing in %s", want, compact.String())
		}
	}
}
