package diag

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestPriorGain: the loss that falls by fitting the shares of 10 equally common
// classes in 200 draws is what the formula says, on average.
func TestPriorGain(t *testing.T) {
	const classes, n, draws = 10, 200, 4000
	random := rand.New(rand.NewPCG(1, 2))
	sum := 0.0
	for range draws {
		labels := make([]int, n)
		for i := range labels {
			labels[i] = random.IntN(classes)
		}
		gain := 0.0 // ln classes less the entropy of the shares
		for _, count := range classCounts(labels, classes) {
			if share := float64(count) / n; count > 0 {
				gain += share * math.Log(share*classes)
			}
		}
		sum += gain
	}
	near(t, "gain", sum/draws, priorGain(classes, n), 0.03, priorGain(classes, n))
}

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		counts []int
		want   int
	}{{[]int{2, 2, 2}, 0}, {[]int{0, 5, 5}, 0}, {[]int{1, 0, 2}, 1}, {[]int{4, 1, 0, 2}, 3}, {[]int{0}, 0}} {
		if got := spreadOf(c.counts); got != c.want {
			t.Errorf("%v: %d, want %d", c.counts, got, c.want)
		}
	}
}
