package diag

import (
	"cmp"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// A logitLine is the logits of some examples at points along a line in the space of
// weights. Between the points every logit is interpolated by a polynomial in t, or in a
// variable that saturates, and the loss is that of the interpolated logits. A network's
// logits change far more evenly along a line than its loss does: most of what is curved in
// the loss is the softmax, as in the Gauss–Newton approximation.
//
// A nil logitLine has no points.
type logitLine struct {
	invT  float64
	start logitNode   // t = 0
	slope float64     // of the mean loss at t = 0
	exact bool        // slope is of these examples, and not of more that they are among
	nodes []logitNode // in the order in which they were added
}

// A logitNode is what is known at a point.
type logitNode struct {
	t float64
	sampled
	pull float64 // derivative of the loss at t = 0 as the logits there move to these at the rate 1
}

// add adds a point, unless it is known or not all logits are finite.
func (l *logitLine) add(t float64, s sampled) {
	if l == nil {
		return
	}
	if _, known := l.lossAt(t); !known && s.logits.AreFinite() {
		towards := metric.Blend{Parts: []metric.Logits{l.start.logits, s.logits}, Weights: []float64{1, 0}, Rates: []float64{-1, 1}}
		_, pull, _ := towards.Loss(l.invT)
		l.nodes = append(l.nodes, logitNode{t, s, pull})
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
	nodes = nodes[:min(count, len(nodes))]
	b := &blendedLoss{invT: l.invT}
	b.saturation, b.faith = l.saturation(nodes)
	for _, n := range append([]logitNode{l.start}, nodes...) {
		u, _ := b.saturation.variable(n.t)
		b.places, b.parts = append(b.places, u), append(b.parts, n.logits)
	}
	return b
}

// unsaturated is the share of the true slope at 0 from which on that of logits interpolated
// in t is believed.
const unsaturated = 0.85

// A saturation is c ≥ 0, by which logits are interpolated in u = t/(1 + c·t), which nears 1/c
// as t grows. So do logits where the layer moves so far that its own output is most of
// what a normalisation above it divides by.
type saturation float64

// variable returns u, and the derivative of u at t.
func (c saturation) variable(t float64) (u, rate float64) {
	scale := 1 / (1 + float64(c)*t)
	return t * scale, scale * scale
}

// Which saturations are tried: c, times the t of the nearest node.
const (
	leastSaturation = 1.0 / 64
	mostSaturation  = 64
	nextSaturation  = 1.05 // times the last one
)

// saturation is 0 where logits interpolated between t = 0 and nodes in t have about the true
// slope at 0, or a steeper one, and otherwise the least with which they have the true one, or
// as much of it as any. faith is that share.
func (l *logitLine) saturation(nodes []logitNode) (c saturation, faith float64) {
	share := func(c saturation) float64 {
		places := []float64{0}
		for _, n := range nodes {
			u, _ := c.variable(n.t)
			places = append(places, u)
		}
		_, rates := lagrange(places, 0)
		slope := 0.0
		for k, n := range nodes {
			slope += rates[k+1] * n.pull
		}
		return slope / l.slope
	}
	if faith = share(0); len(nodes) == 0 || faith >= unsaturated {
		return 0, faith
	}
	nearest := slices.MinFunc(nodes, func(a, b logitNode) int { return cmp.Compare(a.t, b.t) }).t
	for next := saturation(leastSaturation / nearest); next <= saturation(mostSaturation/nearest) && faith < 1; next *= nextSaturation {
		if s := share(next); s > faith {
			c, faith = next, s
		}
	}
	return c, faith
}

// A blendedLoss is the mean loss of interpolated logits, as a function of t.
type blendedLoss struct {
	invT       float64
	saturation saturation
	places     []float64 // in the variable of the saturation
	parts      []metric.Logits
	faith      float64 // the slope at 0, as a share of the true one
}

// at returns the derivative at t, and the second one as if the logits changed at a
// constant rate.
func (b *blendedLoss) at(t float64) (slope, curvature float64) {
	u, rate := b.saturation.variable(t)
	weights, rates := lagrange(b.places, u)
	_, slope, curvature = metric.Blend{Parts: b.parts, Weights: weights, Rates: rates}.Loss(b.invT)
	return slope * rate, curvature * rate * rate
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

// A blendedCurve is φ as interpolated logits tell it: the loss of these, plus a polynomial,
// in the same variable, through what φ differs by from the mean loss of the examples that the
// logits are of.
type blendedCurve struct {
	loss       *blendedLoss
	difference polynomial
	exact      bool       // the slope at 0 that the loss should have is known
	lowest     float64    // t of the lowest point
	bracket    [2]float64 // the points beside it; +Inf where there is none beyond
}

// blend interpolates the logits at up to so many points near the lowest, whose index is low.
func (c *curve) blend(low, count int) *blendedCurve {
	best, near := c.points[low].t, c.nearest(low)
	loss := c.logits.near(best, count)
	places, values := []float64{0}, []float64{c.phi0 - c.logits.start.loss}
	if c.logits.exact {
		places, values = append(places, 0), append(values, c.slope-c.logits.slope)
	}
	for _, p := range near[:min(count, len(near))] {
		if ofLogits, ok := c.logits.lossAt(p.t); ok {
			u, _ := loss.saturation.variable(p.t)
			places, values = append(places, u), append(values, p.value-ofLogits)
		}
	}
	bracket := [2]float64{c.points[low-1].t, math.Inf(1)}
	if low+1 < len(c.points) {
		bracket[1] = c.points[low+1].t
	}
	return &blendedCurve{loss, interpolate(places, values), c.logits.exact, best, bracket}
}

// at returns the derivative at t, and about the second one.
func (b *blendedCurve) at(t float64) (slope, curvature float64) {
	slope, curvature = b.loss.at(t)
	u, rate := b.loss.saturation.variable(t)
	return slope + b.difference.slope(u)*rate, curvature
}

// minimiser is the one near the lowest point, between those beside it or, where the curve does
// not turn, one of these.
func (b *blendedCurve) minimiser() float64 {
	return minimise(b.at, b.lowest, b.bracket[0], b.bracket[1])
}

// faithful reports whether the interpolated logits' slope at 0 is the true one, but for a
// share of it, or there is nothing to compare with.
func (b *blendedCurve) faithful(share float64) bool {
	return !b.exact || math.Abs(b.loss.faith-1) <= share
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
// from start on, between two places, the first of which may be 0 and the second infinite: by
// Newton's step, and then by those of the secant, within the bracket that is known. The
// curvature is asked for once and may be an approximation. Where the function falls, or rises,
// as far as it is followed, it is that place; NaN says that the slope is not finite.
func minimise(derivatives func(t float64) (slope, curvature float64), start, low, high float64) float64 {
	t, falls, rises := start, low, high
	nearest := max(low*(1+2*minimiserTol), start/farthestBlend)
	farthest := min(high*(1-2*minimiserTol), start*farthestBlend)
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
			return high
		case rises <= nearest:
			return low
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
		if nearest < next && next < farthest && math.Abs(next-t) <= minimiserTol*next {
			return next
		}
		was := slope
		slope, _ = derivatives(next)
		curvature, t = (slope-was)/(next-t), next
	}
	return t
}
