package graph_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestQuantisedNetwork compares a network whose matrix is stored as integers
// with the one that holds the same values as FLOAT: logits and gradients are the
// same, bit for bit.
func TestQuantisedNetwork(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		const inputs, classes = 12, 3
		b := onnxtest.New(20)
		b.Input("x", onnx.Float, "batch", 3, 2, 2)
		stored := make([]byte, inputs*classes)
		for i := range stored {
			stored[i] = byte(37 * i)
		}
		b.Tensor("head.weight_quantized", onnx.Int8, []int{inputs, classes}, stored)
		b.Float("scale", []int{classes}, []float32{0.01, 0.02, 0.03})
		b.Tensor("zero", onnx.Int8, []int{classes}, []byte{1, 0, 255})
		b.Float("step", nil, []float32{0.05})
		b.Node("Flatten", []string{"x"}, []string{"flat"})
		b.Node("QuantizeLinear", []string{"flat", "step"}, []string{"q"})
		b.Node("DequantizeLinear", []string{"q", "step"}, []string{"rounded"})
		b.Node("DequantizeLinear", []string{"head.weight_quantized", "scale", "zero"}, []string{"w"})
		b.Node("MatMul", []string{"rounded", "w"}, []string{"y"})
		b.Output("y", onnx.Float, "batch", classes)
		m, err := onnx.Parse(b.Bytes(), "")
		if err != nil {
			t.Fatal(err)
		}
		w := m.Tensor("head.weight_quantized")
		values, err := w.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(t.TempDir(), "float.onnx")
		draft, err := m.Draft(target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: values}, Dequantize: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := draft.Commit(); err != nil {
			t.Fatal(err)
		}
		float, err := onnx.Open(target)
		if err != nil {
			t.Fatal(err)
		}
		defer float.Close()
		in := make([]float32, 2*inputs)
		for i := range in {
			in[i] = 0.37 * float32(i-5)
		}
		var seen []*graph.ProbeResult
		for _, m := range []*onnx.Model{m, float} {
			n, err := graph.Build(m, graph.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := graph.NewRunner(n, graph.RunnerOptions{Threads: 1, Device: on.Device})
			defer r.Close()
			p, err := graph.Probe(context.Background(), r, in, []int{0, 2})
			if err != nil {
				t.Fatal(err)
			}
			if len(n.Weights) != 1 || p.Weights[0].GNorm == 0 {
				t.Fatalf("%d weights, gradients %+v", len(n.Weights), p.Weights)
			}
			seen = append(seen, p)
		}
		if !reflect.DeepEqual(seen[0].Logits, seen[1].Logits) || !reflect.DeepEqual(seen[0].Weights, seen[1].Weights) {
			t.Errorf("quantised %v, %v; as FLOAT %v, %v", seen[0].Logits, seen[0].Weights, seen[1].Logits, seen[1].Weights)
		}
	})
}

// TestGridOfNoNumber: a step between activations that is no number is named as
// what is wrong.
func TestGridOfNoNumber(t *testing.T) {
	for _, step := range []float64{math.NaN(), math.Inf(1)} {
		b := onnxtest.New(20)
		b.Input("x", onnx.Float, "batch", 3, 2, 2)
		b.Float("step", nil, []float32{float32(step)})
		b.Node("Flatten", []string{"x"}, []string{"flat"})
		b.Node("QuantizeLinear", []string{"flat", "step"}, []string{"q"})
		b.Node("DequantizeLinear", []string{"q", "step"}, []string{"y"})
		b.Output("y", onnx.Float, "batch", 12)
		m, err := onnx.Parse(b.Bytes(), "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = graph.Build(m, graph.Options{})
		if want := fmt.Sprintf("scale (input 1) is %v", float32(step)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that holds %q", err, want)
		}
	}
}
