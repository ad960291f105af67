package diag

import (
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// A logitLine is the logits of some examples at points along a line in the space of
// weights. Between the points every logit is interpolated by a polynomial in t, and the
// loss is that of the interpolated logits. A network's logits change far more evenly
// along a line than its loss does: most of what is curved in the loss is the softmax, as
// in the Gauss–Newton approximation.
//
// A nil logitLine has no points.
type logitLine struct {
	invT  float64
	start logitNode   // t = 0
	slope float64     // of the mean loss at t = 0; NaN where that is not known
	nodes []logitNode // in the order in which they were added
}

// A logitNode is what is known at a point.
type logitNode struct {
	t float64
	sampled
}

// add adds a point, unless it is known or not all logits are finite.
func (l *logitLine) add(t float64, s sampled) {
	if l == nil {
		return
	}
	if _, known := l.lossAt(t); !known && s.logits.AreFinite() {
		l.nodes = append(l.nodes, logitNode{t, s})
	}
}

// len is the number of points besides t = 0.
func (l *logitLine) len() int {
	if l == nil {
		return 0
	}
	return len(l.nodes)
}

// lossAt is the mean loss at t, and false where that was not added.
func (l *logitLine) lossAt(t float64) (float64, bool) {
	i := slices.IndexFunc(l.nodes, func(n logitNode) bool { return n.t == t })
	if i < 0 {
		return 0, false
	}
	return l.nodes[i].loss, true
}

// within is the number of points that are no more than so many times as far as t, or as
// near.
func (l *logitLine) within(factor, t float64) int {
	count := 0
	for _, n := range l.nodes {
		if n.t <= factor*t && t <= factor*n.t {
			count++
		}
	}
	return count
}

// near interpolates between t = 0 and up to so many points, those nearest to t in log t,
// and none out of reach where there are enough.
func (l *logitLine) near(t float64, count int) *blendedLoss {
	nodes := slices.Clone(l.nodes)
	if within := l.within(blendedReach, t); within > 1 {
		count = min(count, within)
	}
	slices.SortStableFunc(nodes, func(a, b logitNode) int { return compareNear(t, a.t, b.t) })
	b := &blendedLoss{invT: l.invT}
	for _, n := range append([]logitNode{l.start}, nodes[:min(count, len(nodes))]...) {
		b.places, b.parts = append(b.places, n.t), append(b.parts, n.logits)
	}
	return b
}

// A blendedLoss is the mean loss of interpolated logits, as a function of t.
type blendedLoss struct {
	invT   float64
	places []float64
	parts  []metric.Logits
}

// at returns the derivative at t, and the second one as if the logits changed at a
// constant rate.
func (b *blendedLoss) at(t float64) (slope, curvature float64) {
	weights, rates := lagrange(b.places, t)
	_, slope, curvature = metric.Blend{Parts: b.parts, Weights: weights, Rates: rates}.Loss(b.invT)
	return slope, curvature
}

// lagrange is the values at x of the polynomials that are 1 at one node and 0 at the
// others, and their derivatives.
func lagrange(nodes []float64, x float64) (values, slopes []float64) {
	values, slopes = make([]float64, len(nodes)), make([]float64, len(nodes))
	for k, own := range nodes {
		value, slope := 1.0, 0.0
		for j, other := range nodes {
			if j != k {
				slope = (slope*(x-other) + value) / (own - other)
				value *= (x - other) / (own - other)
			}
		}
		values[k], slopes[k] = value, slope
	}
	return values, slopes
}

// blendedNodes is through how many points, besides t = 0, logits are interpolated.
const blendedNodes = metric.MaxBlendParts - 1

// blendedReach is how many times as far as another a point may be to tell how curved the
// logits are there.
const blendedReach = 4

// blendedMinimiser is an estimate of the minimiser near the lowest point, whose index is
// low, from the logits at up to so many points: that of the loss of the interpolated
// logits plus a polynomial, through what φ differs by from the mean loss of the examples
// that the logits are of. +Inf says that this falls as far as it is followed, NaN that
// there is no estimate. slopes is the interpolated logits' slope at 0 as a share of the
// true one, and rise by how much the loss rises from the estimate to the lowest point, if
// that is near: half of what the tangent there says, as on a parabola.
func (c *curve) blendedMinimiser(low, count int) (t, slopes, rise float64) {
	best, near := c.points[low].t, c.nearest(low)
	blend := c.logits.near(best, count)
	places, values := []float64{0}, []float64{c.phi0 - c.logits.start.loss}
	if slope := c.logits.slope; !math.IsNaN(slope) {
		places, values = append(places, 0), append(values, c.slope-slope)
	}
	for _, p := range near[:min(count, len(near))] {
		if loss, ok := c.logits.lossAt(p.t); ok {
			places, values = append(places, p.t), append(values, p.value-loss)
		}
	}
	difference := interpolate(places, values)
	slopes = 1
	if !math.IsNaN(c.logits.slope) {
		at0, _ := blend.at(0)
		slopes = at0 / c.logits.slope
	}
	derivatives := func(t float64) (slope, curvature float64) {
		slope, curvature = blend.at(t)
		return slope + difference.slope(t), curvature
	}
	t = minimise(derivatives, best, farthestBlend)
	steepness, _ := derivatives(best)
	return t, slopes, steepness * (best - t) / 2
}

// Limits of [minimise].
const (
	farthestBlend    = 64   // times the lowest point: how far interpolated logits are followed
	minimiserTol     = 2e-3 // relative
	maxMinimiserStep = 30
)

// minimise is a local minimiser of a function of t > 0 with these derivatives, looked for
// from start on and up to so many times as far or as near: by Newton's step, and then by
// those of the secant, within the bracket that is known. The curvature is asked for once
// and may be an approximation. +Inf says that the function still falls at the farthest
// place, NaN that it does not fall at the nearest one, or that its slope is not finite.
func minimise(derivatives func(t float64) (slope, curvature float64), start, reach float64) float64 {
	t, nearest, farthest := start, start/reach, start*reach
	falls, rises := 0.0, math.Inf(1)
	slope, curvature := derivatives(t)
	for range maxMinimiserStep {
		switch {
		case slope < 0:
			falls = t
		case slope >= 0:
			rises = t
		default:
			return math.NaN()
		}
		switch {
		case falls >= farthest:
			return math.Inf(1)
		case rises <= nearest:
			return math.NaN()
		}
		next := t - slope/curvature
		switch {
		case curvature > 0 && falls < next && next < rises:
		case math.IsInf(rises, 1):
			next = 2 * t
		default:
			next = falls + (rises-falls)/2
		}
		next = max(nearest, min(next, farthest))
		if math.Abs(next-t) <= minimiserTol*next {
			return next
		}
		was := slope
		slope, _ = derivatives(next)
		curvature, t = (slope-was)/(next-t), next
	}
	return t
}
