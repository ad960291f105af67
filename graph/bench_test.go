package graph_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
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

// BenchmarkViTB16 runs a ViT-B/16 on one batch: forward only, and forward and
// backward with the gradients of the last block, of the same from the neck that it
// begins at, and of everything.
func BenchmarkViTB16(b *testing.B) {
	m, err := onnx.Open(writeViTB16(b))
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	n, err := graph.Build(m, graph.Options{Batch: 8})
	if err != nil {
		b.Fatal(err)
	}
	r := graph.NewRunner(n, graph.RunnerOptions{})
	in, labels := make([]float32, n.Batch*n.Input.Elements()), make([]int, n.Batch)
	for i := range in {
		in[i] = float32(i%13)/6 - 1
	}
	ctx := context.Background()
	imagesPerSecond := func(b *testing.B) {
		b.ReportMetric(float64(n.Batch)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
	}
	b.Run("forward", func(b *testing.B) {
		losses := make([]float64, n.Batch)
		for b.Loop() {
			if err := r.Evaluate(ctx, 0, in, labels, 1, losses, nil); err != nil {
				b.Fatal(err)
			}
		}
		imagesPerSecond(b)
	})
	for name, pattern := range map[string]string{"last block": "blocks.11", "last block from its neck": "blocks.11", "all layers": "*"} {
		layers, err := graph.SelectLayers(n.Layers(graph.ByBlock), []string{pattern})
		if err != nil {
			b.Fatal(err)
		}
		var want []int
		for _, l := range layers {
			want = append(want, l.Weights...)
		}
		from, in := 0, in
		if name == "last block from its neck" {
			from = layers[0].Neck
			at := make([]float32, n.Batch*r.NeckElements(from))
			if err := r.Advance(ctx, 0, from, in, at, n.Batch); err != nil {
				b.Fatal(err)
			}
			in = at
		}
		b.Run("gradients of "+name, func(b *testing.B) {
			for b.Loop() {
				if err := r.LossGradients(ctx, metric.Loss{}, from, in, labels, 1, want, nil, func(int, nn.Memory) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			imagesPerSecond(b)
		})
	}
}
