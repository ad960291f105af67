package onnx_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"modeldoctor/onnx"
)

// TestZooDrafts saves every model of the zoo unpatched, then with one weight
// after the other changed, into another folder.
func TestZooDrafts(t *testing.T) {
	forEachZooModel(t, func(t *testing.T, c zooCase, m *onnx.Model) {
		before, err := os.ReadFile(m.Path)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(t.TempDir(), "model.onnx")
		after := commit(t, m, target, onnx.Edits{})
		if !bytes.Equal(before, after) {
			t.Fatal("an unpatched save is not the same to the byte")
		}
		for _, w := range m.Weights() {
			values, err := w.Tensor.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			values = slices.Clone(values)
			for i := range values {
				if values[i] = values[i]*1.25 + 0.125; math.IsInf(float64(values[i]), 0) {
					values[i] = -64 // from a mask
				}
			}
			e := onnx.Edits{Weights: map[*onnx.Tensor][]float32{w.Tensor: values}, Metadata: map[string]string{"modeldoctor.fix": "{}"}}
			checkDraft(t, m, target, e)
		}
	})
}

// commit drafts, commits and returns the file.
func commit(t *testing.T, m *onnx.Model, target string, e onnx.Edits) []byte {
	t.Helper()
	d, err := m.Draft(target, e)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); d.SHA256() != hex.EncodeToString(sum[:]) {
		t.Errorf("digest %s", d.SHA256())
	}
	return data
}
