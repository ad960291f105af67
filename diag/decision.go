package diag

import (
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Verdict says on which side of the threshold a gain lies.
type Verdict string

const (
	Over      Verdict = "over"      // the 95 % interval lies above the threshold
	Under     Verdict = "under"     // the 95 % interval lies below, and a gain over it would have been seen
	Undecided Verdict = "undecided" // neither can be said
)

// A Decision is the verdict on a gain; the zero value where there is none.
type Decision struct {
	Verdict Verdict
	// ImagesNeeded is about how many examples would decide it if the gain is what
	// it seems to be: the interval shrinks with the square root of their number.
	// nil unless undecided, or where more than maxImages would be needed.
	ImagesNeeded *int
}

// maxImages is the largest number of images that is asked for.
const maxImages = 10_000_000

// decide gives the verdict on a gain, measured on n examples, that is z standard
// errors wide to either side.
func decide(gain metric.Estimate, z, limit float64, n int) Decision {
	switch distance := gain.Mean - limit; {
	case distance > z*gain.SE:
		return Decision{Verdict: Over}
	case distance < -z*gain.SE:
		return Decision{Verdict: Under}
	}
	return Decision{Undecided, imagesNeeded(gain, z, limit, n)}
}

// imagesNeeded is the number of examples, to two digits, with which an interval
// of z standard errors would end at the limit; nil where it is more than
// maxImages.
func imagesNeeded(gain metric.Estimate, z, limit float64, n int) *int {
	ratio := z * gain.SE / (gain.Mean - limit)
	needed := float64(n) * ratio * ratio
	if !(needed <= maxImages) {
		return nil
	}
	digit := math.Pow(10, max(0, math.Floor(math.Log10(max(needed, 1)))-1))
	images := int(digit * math.Ceil(needed/digit))
	return &images
}

// bonferroni is the number of standard errors to either side of m estimates such
// that, with a probability of 95 %, all m intervals hold at once: the quantile of
// the normal distribution at 1 − 0.05/2m.
func bonferroni(m int) float64 {
	return math.Sqrt2 * math.Erfinv(1-(1-familyConfidence)/float64(max(m, 1)))
}
