package pol_test

import (
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/fixtures"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/peak"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
	"github.com/modeldoctor/modeldoctor/pol"
)

// patterns are images of no meaning, with labels.
type patterns struct{ images, classes int }

func (p patterns) Len() int        { return p.images }
func (p patterns) Label(i int) int { return i * 37 % p.classes }

func (p patterns) Read(i int, dst []float32) error {
	for j := range dst {
		dst[j] = float32((i*31+j*7)%113)/56 - 1
	}
	return nil
}

// BenchmarkStep compares PoL on the last block of a ViT-B/16, the head
// perturbed and the prefix cached in a file, with PoF: the images that are
// updated with in a second, in steps after the first, and the most memory in
// use during the whole treatment. The batches are 1/16 of the default ones, so
// that it ends in minutes.
func BenchmarkStep(b *testing.B) {
	path := filepath.Join(b.TempDir(), "vit-b16.onnx")
	if err := onnxtest.ViTB16().WriteFile(path); err != nil {
		b.Fatal(err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	n, err := graph.Build(m, graph.Options{Batch: 8})
	if err != nil {
		b.Fatal(err)
	}
	data := pol.Data{Train: patterns{16, n.Classes}, Validation: patterns{2, n.Classes}, Holdout: patterns{2, n.Classes}}
	for _, test := range []struct{ recipe, perturb, update string }{{"pol", "head", "blocks.11"}, {"pof", "", ""}} {
		b.Run(test.recipe, func(b *testing.B) {
			var images, seconds float64
			var most int64
			var cache int64
			for b.Loop() {
				// A runner of its own, so that its arena is no larger than it must be.
				f := &fixtureModel{graph.NewRunner(n, graph.RunnerOptions{}), &fixtures.Model{Network: n}}
				plan := f.plan(b, test.recipe, test.perturb, test.update)
				opt := pol.DefaultOptions(plan.Recipe)
				opt.Temperature = 1
				opt.Epochs, opt.Batch, opt.PerturbBatch, opt.Rate, opt.Memory, opt.TempDir = 2, 8, 16, 1e-3, 1, b.TempDir()
				debug.FreeOSMemory()
				memory := peak.Start(2 * time.Millisecond)
				r, err := pol.Treat(b.Context(), f, data, plan, opt)
				most = max(most, memory.Stop())
				if err != nil {
					b.Fatal(err)
				}
				for _, e := range r.Epochs {
					if e.Rejected > 0 {
						b.Fatalf("epoch %d: %d steps were rejected", e.Number, e.Rejected)
					}
				}
				// The first epoch also compiles.
				last := r.Epochs[len(r.Epochs)-1]
				images += float64(last.Steps * opt.Batch)
				seconds += last.Duration.Seconds()
				cache = r.Cache.Bytes
			}
			b.ReportMetric(images/seconds, "images/s")
			b.ReportMetric(float64(most)/(1<<20), "peak-MiB")
			b.ReportMetric(float64(cache)/(1<<20), "cache-MiB")
		})
	}
}
