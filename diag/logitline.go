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

// A blendedCurve is φ as interpolated logits tell it: the loss of these, plus a polynomial
// through what φ differs by from the mean loss of the examples that the logits are of.
type blendedCurve struct {
	loss       *blendedLoss
	difference polynomial
	slope      float64 // of the loss at 0, from the gradients; NaN where that is not known
	lowest     float64 // t of the lowest point
}

// blend interpolates the logits at up to so many points near the lowest, whose index is low.
func (c *curve) blend(low, count int) *blendedCurve {
	best, near := c.points[low].t, c.nearest(low)
	places, values := []float64{0}, []float64{c.phi0 - c.logits.start.loss}
	if slope := c.logits.slope; !math.IsNaN(slope) {
		places, values = append(places, 0), append(values, c.slope-slope)
	}
	for _, p := range near[:min(count, len(near))] {
		if loss, ok := c.logits.lossAt(p.t); ok {
			places, values = append(places, p.t), append(values, p.value-loss)
		}
	}
	return &blendedCurve{c.logits.near(best, count), interpolate(places, values), c.logits.slope, best}
}

// at returns the derivative at t, and about the second one.
func (b *blendedCurve) at(t float64) (slope, curvature float64) {
	slope, curvature = b.loss.at(t)
	return slope + b.difference.slope(t), curvature
}

// minimiser is the one near the lowest point. +Inf says that the curve falls as far as it is
// followed, NaN that there is no telling.
func (b *blendedCurve) minimiser() float64 { return minimise(b.at, b.lowest, farthestBlend) }

// faithful reports whether the interpolated logits' slope at 0 is the true one, but for a
// share of it.
func (b *blendedCurve) faithful(share float64) bool {
	if math.IsNaN(b.slope) {
		return true // there is nothing to compare with
	}
	slope, _ := b.loss.at(0)
	return math.Abs(slope/b.slope-1) <= share
}

// rise is by how much the loss rises from the minimiser, which is near, to the lowest
// point: half of what the tangent there says, as on a parabola.
func (b *blendedCurve) rise(minimiser float64) float64 {
	slope, _ := b.at(b.lowest)
	return slope * (b.lowest - minimiser) / 2
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
