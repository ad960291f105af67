package onnx_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestZooDrafts saves every model of the zoo into another folder: unpatched,
// with one weight of each type and form of storage changed, and with all.
func TestZooDrafts(t *testing.T) {
	forEachZooModel(t, func(t *testing.T, c zooCase, m *onnx.Model) {
		before, err := os.ReadFile(m.Path)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(t.TempDir(), "model.onnx")
		if !bytes.Equal(before, commit(t, m, target, onnx.Edits{})) {
			t.Fatal("an unpatched save is not the same to the byte")
		}
		metadata := map[string]string{"modeldoctor.fix": "{}"}
		check := func(weights map[*onnx.Tensor][]float32) {
			t.Helper()
			checkDraft(t, m, target, onnx.Edits{Weights: weights, Metadata: metadata})
			checkComparison(t, m, target, weights)
		}
		all := map[*onnx.Tensor][]float32{}
		seen, scales := map[string]bool{}, map[*onnx.Tensor]bool{}
		for _, w := range m.Weights() {
			if q := w.Tensor.Quantization(); q != nil {
				scales[q.Scale] = true
			}
		}
		for _, w := range m.Weights() {
			if scales[w.Tensor] {
				continue // others' values are multiples of it
			}
			values, err := w.Tensor.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			values = slices.Clone(values)
			for i := range values {
				if values[i] = values[i]*1.25 + 0.1; math.IsInf(float64(values[i]), 0) {
					values[i] = -64 // from a mask
				}
			}
			all[w.Tensor] = values
			if form := w.Tensor.DType.String() + string(w.Tensor.Storage); !seen[form] {
				seen[form] = true
				check(map[*onnx.Tensor][]float32{w.Tensor: values})
			}
		}
		check(all)
	})
}

// checkComparison compares a patched file with the original: exactly the
// patched tensors and the metadata must be reported.
func checkComparison(t *testing.T, m *onnx.Model, target string, weights map[*onnx.Tensor][]float32) {
	t.Helper()
	patched, err := onnx.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer patched.Close()
	c := compare(t, m, patched)
	if c.Same || len(c.Tensors) != len(weights) || len(c.Metadata) != 1 || len(c.Nodes) != 0 || len(c.Fields) != 0 {
		t.Errorf("%d weights were changed, reported are %q", len(weights), lines(c))
	}
	for _, change := range c.Tensors {
		tensor := m.Tensor(change.Name)
		before, err := tensor.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		after, err := patched.Tensor(change.Name).Float64s()
		if err != nil {
			t.Fatal(err)
		}
		delta, elements := make([]float64, len(before)), 0
		for i := range before {
			if delta[i] = after[i] - before[i]; delta[i] != 0 {
				elements++
			}
		}
		if change.ElementsChanged != elements || change.NormA != norm(before) || change.NormDelta != norm(delta) {
			t.Errorf("%s: %d elements, ‖w‖ %g, ‖Δw‖ %g; expected %d, %g, %g", change.Name, change.ElementsChanged, change.NormA, change.NormDelta, elements, norm(before), norm(delta))
		}
	}
}
