package diag

import "math"

// The temperatures between which the best one is looked for. Of logits that
// classify all examples right the loss falls without end as T falls, of useless
// ones as T rises.
const (
	minTemperature = 1e-3
	maxTemperature = 1e3
	temperatureTol = 1e-12 // relative
)

// logitSet is the logits of some examples with their labels.
type logitSet struct {
	classes int
	logits  []float32 // classes per example
	labels  []int
}

// part is the examples at positions lo to hi.
func (s logitSet) part(lo, hi int) logitSet {
	return logitSet{s.classes, s.logits[lo*s.classes : hi*s.classes], s.labels[lo:hi]}
}

// row is the logits of the example at a position.
func (s logitSet) row(position int) []float32 {
	return s.logits[position*s.classes:][:s.classes]
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

// losses are the cross-entropies of logits·invT.
func (s logitSet) losses(invT float64) []float64 {
	out := make([]float64, len(s.labels))
	for p, label := range s.labels {
		out[p] = crossEntropy(s.row(p), label, invT)
	}
	return out
}

// derivatives are the first and second derivative of the summed loss of
// logits·β with respect to β: Σ(E[z] − z_y) and ΣVar[z], expectations over the
// softmax of z·β. The loss is convex in β.
func (s logitSet) derivatives(beta float64) (first, second float64) {
	for p, label := range s.labels {
		row := s.row(p)
		_, top := argmax(row)
		var sum, mean, square float64
		for _, z := range row {
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
		first += mean - (float64(row[label]) - top)
		second += max(0, square/sum-mean*mean)
	}
	return first, second
}

// fitTemperature is the T, between minTemperature and maxTemperature, that
// minimises the mean loss of logits/T, and false if logits are not finite. It
// is found as the root of the derivative with respect to log T by Newton's
// method within a shrinking bracket. Where no temperature changes the loss it
// is 1.
func (s logitSet) fitTemperature() (float64, bool) {
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
	low, high := -math.Log(maxTemperature), -math.Log(minTemperature)
	if end, _ := at(low); end >= 0 {
		return maxTemperature, true
	}
	if end, _ := at(high); end <= 0 {
		return minTemperature, true
	}
	for isFinite(slope) && isFinite(curvature) {
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

// measureTemperature fits one temperature on all examples, and measures on each
// half, whose border is at position middle, the drop in loss of the temperature
// fitted on the other. It returns nil if a half is empty or logits are not
// finite.
func measureTemperature(all logitSet, middle int) *Temperature {
	a, b := all.part(0, middle), all.part(middle, len(all.labels))
	if len(a.labels) == 0 || len(b.labels) == 0 {
		return nil
	}
	whole, ok := all.fitTemperature()
	fitA, okA := a.fitTemperature()
	fitB, okB := b.fitTemperature()
	if !ok || !okA || !okB {
		return nil
	}
	gains := append(a.losses(1/fitB), b.losses(1/fitA)...)
	for p, before := range all.losses(1) {
		gains[p] = before - gains[p]
	}
	mean, se := meanAndError(gains)
	if !isFinite(mean) || !isFinite(se) {
		return nil
	}
	return &Temperature{Value: whole, DeltaLoss: mean, SE: se, CI95: interval(mean, se)}
}
