package pol

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
)

// TestContrast: pairs of figures, whose means over runs differ by 0.5, 0.1 and 0.3.
func TestContrast(t *testing.T) {
	a := [][]float64{{1, 2, 3}, {2, 2, 4}}
	b := [][]float64{{1, 1.9, 3.2}}
	c := NewContrast(a, b)
	near(t, "difference", c.Mean, 0.3, 1e-12)
	images := 0.04 / 3 // variance 0.04 of the differences
	runs := math.Pow((8.0/3-2)/math.Sqrt2, 2) / 2
	near(t, "standard error", c.SE, math.Sqrt(images+runs), 1e-12)
	back := NewContrast(b, a)
	near(t, "the other way round", back.Mean, -c.Mean, 1e-12)
	near(t, "its standard error", back.SE, c.SE, 1e-12)
	for _, test := range []struct {
		mean, se                float64
		significant, equivalent bool
	}{
		{0, 0.01, false, true}, {0, 0.011, false, false}, {0.015, 0.002, true, true}, {-0.015, 0.002, true, true},
		{0.019, 0.002, true, false}, {-0.03, 0.002, true, false}, {0.01, 0.02, false, false},
	} {
		c := Contrast{metric.NormalEstimate(test.mean, test.se)}
		if c.Significant() != test.significant || c.Equivalent(EquivalenceMargin) != test.equivalent {
			t.Errorf("%v ± %v: significant %v, equivalent %v", test.mean, test.se, c.Significant(), c.Equivalent(EquivalenceMargin))
		}
	}
}

// nullResult is the outcome of a treatment that moves a model a little in a random
// direction: in the population it changes nothing, beyond what the temperature does or
// otherwise. Losses are skewed, as those of a classifier are.
func nullResult(random *rand.Rand, n int) *Result {
	before, tempered, after := make([]float64, n), make([]float64, n), make([]float64, n)
	wrongBefore, wrongAfter := make([]float64, n), make([]float64, n)
	for i := range n {
		before[i] = random.ExpFloat64()
		tempered[i] = 0.9 * before[i]
		if wrongBefore[i] = 0; before[i] > 1.5 {
			wrongBefore[i] = 1
		}
		wrongAfter[i] = wrongBefore[i]
		if random.Float64() < 0.01 { // the answer changes, as often to the better as not
			wrongAfter[i] = float64(random.IntN(2))
		}
		// The difference has mean 0 and its size follows the loss.
		after[i] = tempered[i] + 0.05*random.NormFloat64()*(0.2+before[i])
	}
	gain, beyond, wrong := metric.PairedDrop(before, after), metric.PairedDrop(tempered, after), metric.PairedDrop(wrongBefore, wrongAfter)
	return &Result{Holdout: n, Gain: &gain, Beyond: &beyond, ErrorDrop: &wrong}
}

// TestNullTreatments: of treatments that do nothing beyond a temperature at most 3 % are
// accepted, with as few hold-out images as are allowed.
func TestNullTreatments(t *testing.T) {
	const runs = 4000
	for _, n := range []int{MinHoldout, 2000} {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		accepted := 0
		for range runs {
			if nullResult(random, n).Accepted() {
				accepted++
			}
		}
		share := float64(accepted) / runs
		t.Logf("%d images: %.2f %% of %d null treatments are accepted", n, 100*share, runs)
		if share > 0.03 {
			t.Errorf("%d images: %.2f %% of null treatments are accepted, want at most 3 %%", n, 100*share)
		}
	}
}
