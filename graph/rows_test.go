package graph

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// TestRowsAreIndependent: everything computed for an example, the activations
// at every neck and the loss, has the same bits whatever else is in the batch,
// wherever the example stands in it, and whether the batch is full. Activations
// that are kept from one batch to be mixed into others rest on it.
//
// Batches of 13 leave no product a whole number of tiles.
func TestRowsAreIndependent(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, name := range fixtureModels {
			for _, noFuse := range []bool{false, true} {
				for _, v := range variantsOn(on) {
					t.Run(fmt.Sprintf("%s/unfused=%v/%v", name, noFuse, v), func(t *testing.T) {
						n := openFixture(t, name, Options{Batch: 13, NoFuse: noFuse})
						checkRows(t, n, newRunner(t, n, RunnerOptions{Variant: &v, Threads: 2, Device: on.Device}))
					})
				}
			}
		}
	})
}

// variantsOn are the instruction sets that matter on a backend: on a device none does.
func variantsOn(on testdevice.Backend) []kernel.Variant {
	if !on.OnHost() {
		return kernel.Variants()[:1]
	}
	return kernel.Variants()
}

// batchesOf lists the compositions that are compared, as numbers of examples.
// The first one has them all in order.
func batchesOf(size int) [][]int {
	all := countTo(size)
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	batches := [][]int{all, reversed}
	for _, b := range [][]int{{0}, {size - 1}, all[:size/2+1], {size / 2, size / 3}, slices.Repeat([]int{1 % size}, size)} {
		if len(b) <= size {
			batches = append(batches, b)
		}
	}
	return batches
}

func checkRows(t *testing.T, n *Network, r *Runner) {
	in, labels := randomBatch(n, n.Batch)
	size := n.Input.Elements()
	var want [][][]float32 // by neck, then example
	var wantLosses []float64
	for _, batch := range batchesOf(n.Batch) {
		var at []float32
		var y []int
		for _, e := range batch {
			at = append(at, in[e*size:(e+1)*size]...)
			y = append(y, labels[e])
		}
		losses := make([]float64, len(batch))
		memory := imported(t, r, at)
		if err := r.Evaluate(context.Background(), 0, memory, y, 0.7, losses, nil); err != nil {
			t.Fatal(err)
		}
		for k := range r.Necks() {
			width := r.NeckElements(k)
			if k > 0 {
				out := imported(t, r, make([]float32, len(batch)*width))
				if err := r.Advance(context.Background(), k-1, k, memory, out, len(batch)); err != nil {
					t.Fatal(err)
				}
				at, memory = make([]float32, len(batch)*width), out
				if err := r.Device().Download(at, memory); err != nil {
					t.Fatal(err)
				}
			}
			if len(want) <= k {
				want = append(want, nil)
				for i := range batch {
					want[k] = append(want[k], at[i*width:(i+1)*width])
				}
			}
			for i, e := range batch {
				if !slices.Equal(at[i*width:(i+1)*width], want[k][e]) {
					t.Fatalf("batch %v: example %d differs at neck %d (%s)", batch, e, k, n.Necks[k].Name)
				}
			}
		}
		if wantLosses == nil {
			wantLosses = losses
		}
		for i, e := range batch {
			if losses[i] != wantLosses[e] {
				t.Fatalf("batch %v: the loss of example %d is %v, was %v", batch, e, losses[i], wantLosses[e])
			}
		}
	}
}

// TestBatchSizeDoesNotMatter: a network bound to another batch size computes
// the same bits for an example too.
func TestBatchSizeDoesNotMatter(t *testing.T) {
	for _, name := range fixtureModels {
		for _, noFuse := range []bool{false, true} {
			for _, v := range kernel.Variants() {
				var want []float32
				for _, batch := range []int{1, 3, 13} {
					n := openFixture(t, name, Options{Batch: batch, NoFuse: noFuse})
					in, labels := randomBatch(n, 1)
					logits := make([]float32, n.Classes)
					err := NewRunner(n, RunnerOptions{Variant: &v}).Evaluate(context.Background(), 0, in, labels, 1, make([]float64, 1), logits)
					if err != nil {
						t.Fatal(err)
					}
					if want == nil {
						want = logits
					}
					if !slices.Equal(logits, want) {
						t.Errorf("%s, unfused %v, %v: logits at batch %d differ from those at batch 1", name, noFuse, v, batch)
					}
				}
			}
		}
	}
}
