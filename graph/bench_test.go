package graph_test

import (
	"path/filepath"
	"testing"

	"modeldoctor/graph"
	"modeldoctor/onnx"
	"modeldoctor/onnx/onnxtest"
)

// writeViTB16 writes a ViT-B/16 with random weights beside the test.
func writeViTB16(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "vit-b16.onnx")
	if err := onnxtest.ViTB16().WriteFile(path); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkInspect opens a ViT-B/16 and reads it as a network, without its
// tensor data.
func BenchmarkInspect(b *testing.B) {
	path := writeViTB16(b)
	for b.Loop() {
		m, err := onnx.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := graph.Inspect(m, graph.Options{}); err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
