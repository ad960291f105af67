package chart

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"gonum.org/v1/plot"
)

// TestTicks: of any range an axis has three numbers or more, and not many, all different,
// within the range, and each is the number that stands there.
func TestTicks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	check := func(name string, ticker plot.Ticker, low, high float64) {
		t.Helper()
		seen := map[string]bool{}
		for _, tick := range ticker.Ticks(low, high) {
			if tick.Value < low || tick.Value > high {
				t.Fatalf("%s: %v to %v: a tick at %v", name, low, high, tick.Value)
			}
			if tick.Label == "" {
				continue
			}
			if seen[tick.Label] {
				t.Fatalf("%s: %v to %v: %s stands there twice", name, low, high, tick.Label)
			}
			seen[tick.Label] = true
			if x, err := strconv.ParseFloat(tick.Label, 64); err != nil || math.Abs(x-tick.Value) > 1e-3*(high-low) {
				t.Fatalf("%s: %v to %v: %s stands at %v", name, low, high, tick.Label, tick.Value)
			}
			if len(tick.Label) > 12 {
				t.Fatalf("%s: %v to %v: %s is long", name, low, high, tick.Label)
			}
		}
		if n := len(seen); n < fewestLabels || n > 3*aboutLabels {
			t.Fatalf("%s: %v to %v: %d numbers", name, low, high, n)
		}
	}
	for range 100_000 {
		at := math.Pow(10, 16*random.Float64()-8) * float64(1-2*random.IntN(2))
		width := math.Abs(at) * math.Pow(10, 4*random.Float64()-3)
		check("linear", linearTicks{aboutLabels}, at, at+width)
		check("linear, about 0", linearTicks{aboutLabels}, -width*random.Float64(), width)
		check("log", logTicks{aboutLabels}, math.Abs(at), math.Abs(at)*(1+math.Pow(10, 9*random.Float64()-3)))
	}
	for _, ends := range [][2]float64{{3.4012, 3.4047}, {0, 1}, {0.1, 1}, {2, 3}, {1e-12, 2e-12}, {1e15, 1.001e15}} {
		check("linear", linearTicks{aboutLabels}, ends[0], ends[1])
		if ends[0] > 0 {
			check("log", logTicks{aboutLabels}, ends[0], ends[1])
		}
	}
}
