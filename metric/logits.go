package metric

import "math"

// The temperatures between which the best one is looked for. Of logits that
// classify all examples right the loss falls without end as T falls, of useless
// ones as T rises.
const (
	MinTemperature = 1e-3
	MaxTemperature = 1e3
	temperatureTol = 1e-12 // relative
)

// Logits are the logits of some examples with their labels.
type Logits struct {
	Classes int
	Values  []float32 // Classes per example
	Labels  []int
	Threads int // that what is computed of them takes, to the same bits; 0: one
}

// NewLogits returns room for the logits of examples with the given labels, which
// it keeps.
func NewLogits(classes int, labels []int) Logits {
	return Logits{Classes: classes, Values: make([]float32, classes*len(labels)), Labels: labels}
}

// Len is the number of examples.
func (s Logits) Len() int { return len(s.Labels) }

// Part is the examples at positions lo to hi, as a view.
func (s Logits) Part(lo, hi int) Logits {
	return Logits{s.Classes, s.Values[lo*s.Classes : hi*s.Classes], s.Labels[lo:hi], s.Threads}
}

// Row is the logits of the example at a position.
func (s Logits) Row(position int) []float32 {
	return s.Values[position*s.Classes:][:s.Classes]
}

// crossEntropy is the loss of one example's logits·invT, in nats.
func crossEntropy(logits []float32, label int, invT float64) float64 {
	_, top := argmax(logits)
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(invT * (float64(z) - top))
	}
	return math.Log(sum) + invT*(top-float64(logits[label]))
}

// Losses are the cross-entropies of logits·invT, in nats, one per example.
func (s Logits) Losses(invT float64) []float64 {
	out := make([]float64, len(s.Labels))
	s.each(func(lo, hi int) {
		for p := lo; p < hi; p++ {
			out[p] = crossEntropy(s.Row(p), s.Labels[p], invT)
		}
	})
	return out
}

// derivatives are the first and second derivative of the summed loss of
// logits·β with respect to β: Σ(E[z] − z_y) and ΣVar[z], expectations over the
// softmax of z·β. The loss is convex in β.
func (s Logits) derivatives(beta float64) (first, second float64) {
	terms := make([][2]float64, len(s.Labels))
	s.each(func(lo, hi int) {
		for p := lo; p < hi; p++ {
			terms[p] = derivativesOf(s.Row(p), s.Labels[p], beta)
		}
	})
	for _, t := range terms {
		first, second = first+t[0], second+t[1]
	}
	return first, second
}

// derivativesOf are those of one example.
func derivativesOf(logits []float32, label int, beta float64) [2]float64 {
	_, top := argmax(logits)
	var sum, mean, square float64
	for _, z := range logits {
		// Relative to the largest logit, which cancels in both derivatives.
		rest := float64(z) - top
		e := math.Exp(beta * rest)
		if e == 0 {
			continue // a class masked by a logit of −∞ has no share
		}
		sum += e
		mean += e * rest
		square += e * rest * rest
	}
	mean /= sum
	return [2]float64{mean - (float64(logits[label]) - top), max(0, square/sum-mean*mean)}
}

// FitTemperature is the T, between MinTemperature and MaxTemperature, that
// minimises the mean loss of logits/T, and false if logits are not finite. It
// is found as the root of the derivative with respect to log T by Newton's
// method within a shrinking bracket. Where no temperature changes the loss it
// is 1.
func (s Logits) FitTemperature() (float64, bool) {
	// u = log β = −log T, in which the loss has a single minimum.
	at := func(u float64) (slope, curvature float64) {
		beta := math.Exp(u)
		first, second := s.derivatives(beta)
		return beta * first, beta*first + beta*beta*second
	}
	u := 0.0
	slope, curvature := at(u)
	if slope == 0 {
		return 1, true
	}
	low, high := -math.Log(MaxTemperature), -math.Log(MinTemperature)
	if end, _ := at(low); end >= 0 {
		return MaxTemperature, true
	}
	if end, _ := at(high); end <= 0 {
		return MinTemperature, true
	}
	for IsFinite(slope) && IsFinite(curvature) {
		switch {
		case slope > 0:
			high = u
		case slope < 0:
			low = u
		default:
			return math.Exp(-u), true
		}
		next := u - slope/curvature
		if !(curvature > 0) || next <= low || next >= high {
			next = (low + high) / 2
		}
		if math.Abs(next-u) <= temperatureTol {
			return math.Exp(-next), true
		}
		u = next
		slope, curvature = at(u)
	}
	return 0, false
}

// AreFinite reports whether all are.
func (s Logits) AreFinite() bool {
	for _, z := range s.Values {
		if !IsFinite(float64(z)) {
			return false
		}
	}
	return true
}
