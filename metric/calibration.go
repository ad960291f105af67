package metric

import (
	"cmp"
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
	n := len(confidence)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(confidence[a], confidence[b]) })
	sum := 0.0
	for bin, lo := 0, 0; bin < calibrationBins; bin++ {
		size := n / calibrationBins
		if bin < n%calibrationBins {
			size++
		}
		// |accuracy − mean confidence|·size, so that the sum over bins divided by
		// n is the mean over examples.
		gap := 0.0
		for _, i := range order[lo : lo+size] {
			gap -= confidence[i]
			if correct[i] {
				gap++
			}
		}
		sum += math.Abs(gap)
		lo += size
	}
	return sum / float64(max(n, 1))
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

// Predict is the class of the largest logit and its softmax probability.
func Predict(logits []float32) (class int, confidence float64) {
	class, top := argmax(logits)
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	return class, 1 / sum
}
