package metric

import (
	"cmp"
	"iter"
	"math"
	"slices"
)

// calibrationBins is the number of bins of the expected calibration error.
const calibrationBins = 15

// ExpectedCalibrationError is the mean over examples of |accuracy − mean
// confidence| of the bin that the example is in. Examples, in data order, are
// sorted by confidence, ties staying in data order, and cut into
// calibrationBins consecutive bins, of which the first n mod calibrationBins
// hold one more.
func ExpectedCalibrationError(confidence []float64, correct []bool) float64 {
	sum := 0.0
	for bin := range binsOf(confidence) {
		// |accuracy − mean confidence|·size, so that the sum over bins divided by
		// n is the mean over examples.
		gap := 0.0
		for _, i := range bin {
			gap -= confidence[i]
			if correct[i] {
				gap++
			}
		}
		sum += math.Abs(gap)
	}
	return sum / float64(max(len(confidence), 1))
}

// ReliabilityBin is examples of about the same confidence.
type ReliabilityBin struct {
	Examples   int     `json:"examples"`
	Confidence float64 `json:"confidence"` // mean of the predicted class, 0 to 1
	Accuracy   float64 `json:"accuracy"`   // share of right answers
}

// Reliability is the bins of [ExpectedCalibrationError] that have examples, by
// rising confidence: what a reliability diagram shows.
func Reliability(confidence []float64, correct []bool) []ReliabilityBin {
	var bins []ReliabilityBin
	for bin := range binsOf(confidence) {
		if len(bin) == 0 {
			continue
		}
		sum, right := 0.0, 0
		for _, i := range bin {
			sum += confidence[i]
			if correct[i] {
				right++
			}
		}
		n := float64(len(bin))
		bins = append(bins, ReliabilityBin{len(bin), sum / n, float64(right) / n})
	}
	return bins
}

// binsOf yields the examples of each bin, by their places in data order.
func binsOf(confidence []float64) iter.Seq[[]int] {
	n := len(confidence)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(confidence[a], confidence[b]) })
	return func(yield func([]int) bool) {
		for bin, lo := 0, 0; bin < calibrationBins; bin++ {
			size := n / calibrationBins
			if bin < n%calibrationBins {
				size++
			}
			if !yield(order[lo : lo+size]) {
				return
			}
			lo += size
		}
	}
}

// argmax is the class of the largest logit, the lowest among equals, and that
// logit.
func argmax(logits []float32) (class int, top float64) {
	for c, z := range logits {
		if z > logits[class] {
			class = c
		}
	}
	return class, float64(logits[class])
}

// Predict is the class of the largest logit and its softmax probability, with the
// logits multiplied by invT, the inverse of a temperature.
func Predict(logits []float32, invT float64) (class int, confidence float64) {
	class, top := argmax(logits)
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp((float64(z) - top) * invT)
	}
	return class, 1 / sum
}
