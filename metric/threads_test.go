package metric

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// manyLogits are those of enough examples that several threads have work.
func manyLogits(rng *rand.Rand) Logits {
	labels := make([]int, 150)
	for i := range labels {
		labels[i] = rng.IntN(300)
	}
	s := NewLogits(300, labels)
	for i := range s.Values {
		s.Values[i] = float32(3 * rng.NormFloat64())
	}
	return s
}

// TestEach: the parts are all examples, each once, as many parts as there are threads, or
// work for them.
func TestEach(t *testing.T) {
	for _, test := range []struct{ examples, classes, threads, want int }{
		{1000, 100, 0, 1},
		{1000, 100, 1, 1},
		{1000, 100, 3, 3},
		{1000, 100, 64, 12},
		{2, 100_000, 64, 2},
		{10, 10, 64, 1},
		{0, 10, 4, 1},
	} {
		s := Logits{Classes: test.classes, Labels: make([]int, test.examples), Threads: test.threads}
		var mu sync.Mutex
		var parts [][2]int
		s.each(func(lo, hi int) {
			mu.Lock()
			defer mu.Unlock()
			parts = append(parts, [2]int{lo, hi})
		})
		slices.SortFunc(parts, func(a, b [2]int) int { return a[0] - b[0] })
		end := 0
		for _, p := range parts {
			if p[0] != end || p[1] < p[0] {
				t.Fatalf("%+v: parts %v", test, parts)
			}
			end = p[1]
		}
		if end != test.examples || len(parts) != test.want {
			t.Errorf("%+v: parts %v", test, parts)
		}
	}
}

// TestThreads: figures have the same bits on any number of threads.
func TestThreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	parts := []Logits{manyLogits(rng), manyLogits(rng), manyLogits(rng)}
	figures := func(threads int) []float64 {
		for i := range parts {
			parts[i].Threads = threads
		}
		b := Blend{Parts: parts, Weights: []float64{0.5, 0.7, -0.2}, Rates: []float64{1, -2, 1}}
		loss, slope, curvature := b.Loss(0.7)
		first, second := parts[0].derivatives(0.7)
		temperature, _ := parts[0].FitTemperature()
		return append(parts[0].Losses(0.7), loss, slope, curvature, first, second, temperature)
	}
	want := figures(1)
	for _, threads := range []int{2, 3, 16} {
		if got := figures(threads); !slices.Equal(got, want) {
			t.Errorf("on %d threads other bits", threads)
		}
	}
}
