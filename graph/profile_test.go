package graph

import (
	"context"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// TestProfile: what a runner is told of its steps adds up, and products are counted
// exactly.
func TestProfile(t *testing.T) {
	n := openFixture(t, "vit-cifar100", Options{Batch: 4})
	in, labels := randomBatch(n, 4)
	var p exec.Profile
	r := NewRunner(n, RunnerOptions{Threads: 1, Profile: &p})
	begin := time.Now()
	if err := r.Evaluate(context.Background(), 0, in, labels, 1, make([]float64, 4), nil); err != nil {
		t.Fatal(err)
	}
	sum := func() (total time.Duration, of map[string]exec.Work) {
		of = map[string]exec.Work{}
		for _, w := range p.Work() {
			total += w.Time
			name := w.Op
			if w.Gradient {
				name += ", backward"
			}
			of[name] = w
		}
		return total, of
	}
	total, of := sum()
	if passed := time.Since(begin); total <= 0 || total > passed {
		t.Errorf("steps took %v of %v", total, passed)
	}
	// 16 patches of 8 × 8 pixels of 3 channels, to 96 features.
	if w, want := of["PatchEmbedding"], int64(2*4*16*(8*8*3)*96); w.FLOPs != want || w.Calls != 1 {
		t.Errorf("patches: %+v, want %d FLOPs in one call", w, want)
	}
	for name := range of {
		if of[name].Gradient {
			t.Errorf("forward alone: %s", name)
		}
	}
	if err := r.LossGradients(context.Background(), metric.Loss{}, 0, in, labels, 1, n.AllWeights(), nil, func(int, nn.Memory) error { return nil }); err != nil {
		t.Fatal(err)
	}
	_, of = sum()
	// The images want no gradient.
	if w, want := of["PatchEmbeddingGradient, backward"], of["PatchEmbedding"].FLOPs/2; w.FLOPs != want {
		t.Errorf("gradient of patches: %+v, want %d FLOPs", w, want)
	}
	if of["MatMul, backward"].FLOPs == 0 || of["Linear, backward"].Calls != 0 {
		t.Errorf("products: %+v", of)
	}
}
