package graph

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// TestArenaBeyondMemory: a plan that the machine has no memory for is refused
// before anything is allocated, and one that just fits is run.
func TestArenaBeyondMemory(t *testing.T) {
	n := openFixture(t, "vit-cifar100", Options{})
	in, labels := randomBatch(n, n.Batch)
	r := NewRunner(n, RunnerOptions{})
	s, err := n.compileSpan(spanKind{from: 0, to: len(n.Necks) - 1}, host{})
	if err != nil {
		t.Fatal(err)
	}
	r.memory = s.plan.ArenaBytes() - 1
	evaluate := func() error {
		return r.Evaluate(context.Background(), 0, in, labels, 1, make([]float64, n.Batch), nil)
	}
	for range 2 { // a refused plan is not kept
		var refused *Error
		if err := evaluate(); !errors.As(err, &refused) || refused.Help == "" ||
			!strings.Contains(err.Error(), "GiB for a batch of 64, the machine has 0.0 GiB") {
			t.Errorf("error %v", err)
		}
	}
	r.memory++
	if err := evaluate(); err != nil {
		t.Errorf("a plan of exactly the machine's memory: %v", err)
	}
	// A backward pass needs more than a forward one.
	err = r.LossGradients(context.Background(), metric.Loss{}, 0, in, labels, 1, n.AllWeights(), nil, func(int, nn.Memory) error { return nil })
	if err == nil {
		t.Error("a backward pass of more than the machine's memory was run")
	}
}

func TestUsableMemory(t *testing.T) {
	got := UsableMemory()
	if runtime.GOOS != "linux" {
		if got != 0 {
			t.Errorf("%d bytes on %s", got, runtime.GOOS)
		}
		return
	}
	if got < 1<<26 || got > 1<<50 {
		t.Errorf("%d bytes", got)
	}
}
