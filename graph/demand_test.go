package graph

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// buildWhole is Build without dropUnreadRows: all rows are computed.
func buildWhole(t *testing.T, m *onnx.Model, opt Options) *Network {
	t.Helper()
	b, err := newBuilder(m, opt)
	if err != nil {
		t.Fatal(err)
	}
	n, err := b.network()
	if err != nil {
		t.Fatal(err)
	}
	n.finish()
	return n
}

// TestReadRowsOfModels: with the rows that are read alone, all models have the
// same necks, weights, layers and, up to rounding, numbers.
func TestReadRowsOfModels(t *testing.T) {
	var paths []string
	for _, name := range fixtureModels {
		paths = append(paths, filepath.Join("..", "fixtures", name, "model.onnx"))
	}
	zoo, err := filepath.Glob(filepath.Join(shareddata.Path(t, "zoo"), "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	narrowed := 0
	for _, path := range append(paths, zoo...) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			m, err := onnx.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			n, err := Build(m, Options{Batch: 2})
			if err != nil {
				t.Skip(err) // meant to be refused
			}
			if compareWhole(t, n, buildWhole(t, m, Options{Batch: 2})) {
				narrowed++
			}
			sameAtAnyBatch(t, m)
		})
	}
	t.Logf("%d models have fewer rows", narrowed)
	if narrowed < 20 {
		t.Errorf("%d models have fewer rows", narrowed)
	}
}

// compareWhole compares a network with the one that computes all rows, and reports
// whether it computes fewer.
func compareWhole(t *testing.T, n, whole *Network) (narrowed bool) {
	t.Helper()
	if len(n.Necks) != len(whole.Necks) {
		t.Fatalf("%d necks, were %d", len(n.Necks), len(whole.Necks))
	}
	for k, neck := range n.Necks {
		if was := whole.Necks[k]; neck.Name != was.Name || neck.Elements > was.Elements {
			t.Errorf("neck %d is %q %v, was %q %v", k, neck.Name, neck.Shape, was.Name, was.Shape)
		} else {
			narrowed = narrowed || neck.Elements < was.Elements
		}
	}
	for i, w := range n.Weights {
		if was := whole.Weights[i]; w.Name != was.Name || w.Source != was.Source || w.Neck != was.Neck || w.Tensor != was.Tensor {
			t.Errorf("weight %d is %q at neck %d, was %q at %d", i, w.Name, w.Neck, was.Name, was.Neck)
		}
		if !slices.Equal(n.Stages(i), whole.Stages(i)) {
			t.Errorf("weight %q is used in stages %v, was in %v", w.Name, n.Stages(i), whole.Stages(i))
		}
	}
	for _, g := range []Granularity{ByBlock, ByModule, ByTensor} {
		if !slices.Equal(layerNames(n.Layers(g)), layerNames(whole.Layers(g))) {
			t.Errorf("layers %v, were %v", layerNames(n.Layers(g)), layerNames(whole.Layers(g)))
		}
	}
	if n.Family() != whole.Family() {
		t.Errorf("family %q, was %q", n.Family(), whole.Family())
	}
	in, labels := randomBatch(n, n.Batch)
	compute(t, whole, RunnerOptions{}, in, labels).close(t, compute(t, n, RunnerOptions{}, in, labels), 1e-5)
	return narrowed
}

// sameAtAnyBatch checks that an example's logits are the same bits alone and among
// others: no rewrite may depend on the batch.
func sameAtAnyBatch(t *testing.T, m *onnx.Model) {
	t.Helper()
	var want []float32
	for _, batch := range []int{1, 3} {
		n, err := Build(m, Options{Batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		in, labels := randomBatch(n, 1)
		logits := make([]float32, n.Classes)
		if err := NewRunner(n, RunnerOptions{}).Evaluate(context.Background(), 0, in, labels, 1, make([]float64, 1), logits); err != nil {
			t.Fatal(err)
		}
		if want != nil && !slices.Equal(logits, want) {
			t.Errorf("logits at batch %d differ from those at batch 1", batch)
		}
		want = logits
	}
}
