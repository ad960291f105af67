package pol

import (
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// EquivalenceMargin is the difference of two losses, in nats, up to which they count as
// equivalent.
const EquivalenceMargin = 0.02

// A Contrast is the difference between two treatments of the same model on the same
// hold-out images.
type Contrast struct {
	metric.Estimate
}

// NewContrast estimates by how much a figure of a's runs is above that of b's: each run
// is the figure of every image, in one order. The difference is that of the means over
// runs, image by image. Its variance is that over images, and the variance over runs of
// their means, for the treatments and not for these runs alone.
func NewContrast(a, b [][]float64) Contrast {
	differences := meanRun(a)
	for i, x := range meanRun(b) {
		differences[i] -= x
	}
	e := metric.NewEstimate(differences)
	variance := e.SE * e.SE
	for _, runs := range [][][]float64{a, b} {
		means := make([]float64, len(runs))
		for k, run := range runs {
			means[k] = metric.Mean(run)
		}
		s := metric.SpreadOf(means)
		variance += s.SD * s.SD / float64(s.N)
	}
	return Contrast{metric.NormalEstimate(e.Mean, math.Sqrt(variance))}
}

// meanRun is the mean over runs for each image.
func meanRun(runs [][]float64) []float64 {
	mean := make([]float64, len(runs[0]))
	for _, run := range runs {
		for i, x := range run {
			mean[i] += x / float64(len(runs))
		}
	}
	return mean
}

// Significant reports whether the difference is one: its interval of 95 % does not hold 0.
func (c Contrast) Significant() bool { return c.CI95[0] > 0 || c.CI95[1] < 0 }

// Equivalent reports whether the difference is less than a margin either way, by two
// one-sided tests of 97.5 %.
func (c Contrast) Equivalent(margin float64) bool { return c.CI95[0] > -margin && c.CI95[1] < margin }
