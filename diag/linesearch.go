package diag

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Limits of a line search.
const (
	maxHalvings   = 40 // of the probe, and again where nothing lowers φ
	maxDoublings  = 40 // of the probe, and of points without a higher one beyond
	maxSteps      = 80 // after the start
	goldenSection = 0.3819660112501051
	probeShare    = 1.0 / 16 // of the step at which the tangent reaches zero
	overshoot     = 0.15     // by which a step goes beyond an estimate, to have the minimiser behind it
	overshot      = 0.05     // of what the tangent promises: a point that takes off less lies far beyond the minimiser
	fastestShrink = 1.0 / 16 // of the step, at once
	rounding      = 0x1p-24  // of a loss in float32
	maxBlended    = 5        // evaluations, after which interpolated logits are not believed
	closePoints   = 0.1      // by which points lie close to each other, relative to t
)

// precision is how far from the lowest point estimates of the minimiser may lie when a
// search ends, relative to its t.
type precision struct {
	// Estimates by polynomials through losses.
	fine   float64 // the better estimate
	coarse float64 // and the worse one
	// Those by interpolated logits.
	near   float64 // how far the estimate may lie from the lowest point
	beside float64 // the same where another point lies close to the lowest
	agree  float64 // how far the one without the farthest point may lie from the estimate
	slopes float64 // by how much their slope at 0 may differ from the true one

	steps int // after the first point; 0 for as many as it takes
}

// searchPrecision leaves ΔL good to about 3e-4 and t* to 2 %, and with logits better than
// that.
var searchPrecision = precision{fine: 1e-2, coarse: 1.5e-2, near: 1e-2, beside: 3e-2, agree: 1e-2, slopes: 0.15}

// searchResult is the outcome of a line search.
type searchResult struct {
	t, value    float64      // the lowest evaluated point, or where the interpolated one is lower
	minimiser   float64      // near it, estimated; t where that is as good
	points      [][2]float64 // all finite evaluated points, t = 0 and t, ascending in t
	evaluations int          // calls of φ
	capped      bool         // φ still falls at the longest step allowed, which t is
	status      Status       // ok, flat or diverged
	reason      string       // qualifies the status; may be empty
}

// lineSearch finds a step t > 0 that lowers φ: the first local minimiser that
// [firstMinimiser] meets. Only if that does not lower φ is the step halved until
// it does, and the search refined there. If no evaluated point lowers φ the
// status is flat and t = 0.
func lineSearch(phi func(t float64) (float64, error), from curve, probe float64) (searchResult, error) {
	s, r, err := firstMinimiser(phi, from, anywhere(probe), searchPrecision)
	if err != nil || r.status != StatusOK {
		return r, err
	}
	if r.value < from.phi0 {
		r.interpolate(s.minimiser, s.rise)
		return r, nil
	}
	switch ok, err := s.shrink(); {
	case err != nil:
		return searchResult{}, err
	case !ok:
		return s.result(StatusFlat, "no step along the gradient lowers the loss"), nil
	}
	if err := s.converge(); err != nil {
		return searchResult{}, err
	}
	return s.result(StatusOK, ""), nil
}

// searchRange is where a search looks.
type searchRange struct {
	probe   float64 // it begins here
	longest float64 // it goes no further; may be infinite
	enough  float64 // it does not say where a minimiser lies that is beyond; may be infinite
}

// anywhere is the range of a search that has no end.
func anywhere(probe float64) searchRange { return searchRange{probe, math.Inf(1), math.Inf(1)} }

// firstMinimiser finds the first local minimiser of φ, 0 < t ≤ longest, that it
// meets, given φ(0) and the slope φ'(0) < 0, and not calling φ at 0. Where the logits
// of examples along the line are given, φ adds those of each point to them. A value
// of φ that is not finite counts as higher than any other. The first bracket found
// counts, even where it has stepped over a dent beside t = 0 and its minimum lies
// above φ(0): the transfer figure, which charges such a step to the layer on other
// examples, is defined by it.
//
// The first point evaluated, the probe, is halved while φ is not finite and
// doubled while the parabola through φ(0), φ'(0) and the probe is not convex. That
// parabola's minimiser is the start. While the lowest evaluated point at t > 0 has no
// higher one beyond it, the step goes a little beyond where the minimiser is expected,
// or is doubled; if φ falls until the longest step, that is the answer, and capped.
// Within the bracket the estimated minimiser (see estimates) is evaluated until it and
// a worse estimate lie near the lowest point, which is the answer. On a quadratic the
// answer is exact.
//
// If no probe is finite the status is diverged. An error of φ ends the search.
func firstMinimiser(phi func(t float64) (float64, error), from curve, within searchRange, want precision) (*search, searchResult, error) {
	if !(from.slope < 0) || !(within.longest > 0) || !metric.IsFinite(from.slope) || !metric.IsFinite(from.phi0) {
		panic(fmt.Sprintf("diag: line search from φ(0) = %g with slope %g up to %g", from.phi0, from.slope, within.longest))
	}
	from.points = []point{{0, from.phi0}}
	s := &search{phi: phi, curve: from, searchRange: within, precision: want}
	if ok, err := s.start(min(within.probe, within.longest)); err != nil {
		return nil, searchResult{}, err
	} else if !ok {
		return s, s.result(StatusDiverged, fmt.Sprintf("the loss is not finite even after %d halvings of the first step", maxHalvings)), nil
	}
	if err := s.converge(); err != nil {
		return nil, searchResult{}, err
	}
	r := s.result(StatusOK, "")
	falls := r.t == s.points[len(s.points)-1].t
	if r.capped = falls && r.minimiser == within.longest; falls && s.minimiser == 0 && r.t < min(within.longest, within.enough) {
		r.reason = fmt.Sprintf("the loss still falls after %d doublings of the step", maxDoublings)
	}
	return s, r, nil
}

// usualProbe is where a search begins that knows nothing but φ(0) and φ'(0).
func usualProbe(phi0, slope float64) float64 { return probeShare * math.Abs(phi0) / -slope }

// search is the state of a line search.
type search struct {
	phi func(t float64) (float64, error)
	curve
	searchRange
	precision
	evaluations int
	minimiser   float64 // estimated, once it is near the lowest point; 0 before
	rise        float64 // from there to the lowest point, by interpolated logits; 0 if not known
}

// at evaluates φ(t), once for each t.
func (s *search) at(t float64) (float64, error) {
	i, found := slices.BinarySearchFunc(s.points, t, func(p point, t float64) int { return cmp.Compare(p.t, t) })
	if found {
		return s.points[i].value, nil
	}
	v, err := s.phi(t)
	if err != nil {
		return 0, err
	}
	s.evaluations++
	if !metric.IsFinite(v) {
		v = math.Inf(1)
	}
	s.points = slices.Insert(s.points, i, point{t, v})
	return v, nil
}

// start probes φ at t and, where there are no logits, evaluates the minimiser of the
// parabola through the probe. It reports false if no probe is finite.
func (s *search) start(t float64) (bool, error) {
	if !(t > 0) || math.IsInf(t, 1) {
		t = 1
	}
	v, err := s.at(t)
	for halvings := 0; err == nil && math.IsInf(v, 1); halvings++ {
		if halvings == maxHalvings {
			return false, nil
		}
		t /= 2
		v, err = s.at(t)
	}
	if err == nil && s.logits.len() > 0 {
		return true, nil
	}
	for doublings := 0; err == nil && !math.IsInf(v, 1); doublings++ {
		curvature := (v - s.phi0 - s.slope*t) / (t * t)
		if minimiser := -s.slope / (2 * curvature); curvature > 0 && metric.IsFinite(minimiser) {
			_, err = s.at(min(minimiser, s.longest))
			break
		}
		if doublings == maxDoublings || t >= min(s.longest, s.enough) {
			break
		}
		t = min(2*t, s.longest)
		v, err = s.at(t)
	}
	return true, err
}

// shrink halves the shortest step until φ is lower than at t = 0, and reports
// false if it never is.
func (s *search) shrink() (bool, error) {
	for range maxHalvings {
		v, err := s.at(s.points[1].t / 2)
		if err != nil || v < s.phi0 {
			return true, err
		}
	}
	return false, nil
}

// converge evaluates points until the minimiser is known.
func (s *search) converge() error {
	for range cmp.Or(s.steps, maxSteps) {
		t, more := s.next()
		if !more {
			return nil
		}
		if _, err := s.at(t); err != nil {
			return err
		}
	}
	return nil
}

// next is the point to evaluate next; false if the minimiser is known.
func (s *search) next() (t float64, more bool) {
	i := s.lowest()
	low, best := s.points[i-1], s.points[i]
	switch {
	case low.t >= s.enough:
		return 0, false // whatever it is, the minimiser lies beyond
	case s.blends(i):
		if t, more, ok := s.blended(i); ok {
			return t, more
		}
	}
	if i == len(s.points)-1 {
		return s.beyond(i)
	}
	high := s.points[i+1]
	switch {
	case high.t-low.t <= 2*s.fine*best.t:
		return 0, false
	case max(low.value, high.value)-best.value <= rounding*math.Abs(s.phi0):
		return 0, false // a difference that says nothing
	}
	margin := s.fine * best.t
	useful := func(t float64) bool { return low.t+margin < t && t < high.t-margin && !best.near(t, s.fine) }
	fine, coarse := s.estimates(i)
	switch {
	case i == 1 && len(s.points) > 3 && s.share(i) < overshot && !(fine > best.t/2):
		// Estimate after estimate was far too long: φ is flat from here to them.
		return best.t * max(fastestShrink, math.Sqrt(max(0, s.share(i)))), true
	case best.near(fine, s.fine) && best.near(coarse, s.coarse):
		s.minimiser = fine
		return 0, false
	case useful(fine):
		return fine, true
	case useful(coarse):
		return coarse, true
	case high.t-best.t > best.t-low.t:
		return best.t + goldenSection*(high.t-best.t), true
	}
	return best.t - goldenSection*(best.t-low.t), true
}

// blends reports whether logits are interpolated. They are not believed where the lowest
// point, whose index is low, takes off so little that the minimiser lies far before all
// points, nor after too many points.
func (s *search) blends(low int) bool {
	return s.logits.len() > 0 && s.evaluations < maxBlended && s.share(low) >= overshot
}

// blended is next by interpolated logits; ok is false where these do not tell it.
func (s *search) blended(low int) (t float64, more, ok bool) {
	best := s.points[low]
	curve := s.blend(low, blendedNodes)
	estimate := curve.minimiser()
	near := s.near
	if slices.ContainsFunc(s.points, func(p point) bool { return p != best && best.near(p.t, closePoints) }) {
		near = s.beside
	}
	several := len(s.points) > 2 && s.logits.within(blendedReach, best.t) > 1
	switch {
	case math.IsNaN(estimate) || slices.ContainsFunc(s.points, func(p point) bool { return p.t == estimate }):
		return 0, false, false // the curve does not turn between the points
	case several && estimate > s.longest && best.t == s.longest:
		s.minimiser = s.longest
		return 0, false, true
	case several && best.near(estimate, near) && curve.faithful(s.slopes):
		coarse := s.blend(low, min(blendedNodes, s.logits.len())-1).minimiser()
		if math.Abs(coarse-estimate) <= s.agree*best.t {
			s.minimiser, s.rise = estimate, curve.rise(estimate)
			return 0, false, true
		}
	case math.IsInf(estimate, 1):
		estimate = 4 * best.t
	}
	t = min(estimate, s.longest)
	known := slices.ContainsFunc(s.points, func(p point) bool { return p.near(t, s.fine/4) })
	return t, true, !known
}

// beyond is next where the lowest point, whose index is last, has none beyond it.
func (s *search) beyond(last int) (t float64, more bool) {
	low, best := s.points[last-1], s.points[last]
	if best.t == s.longest {
		return s.end(last)
	}
	fine, _ := s.estimates(last)
	switch {
	case last > maxDoublings:
		return 0, false
	case low.t < fine && fine < (1-overshoot)*best.t:
		return fine, true
	case math.IsNaN(fine):
		t = 2 * best.t
	default:
		t = min((1+overshoot)*max(fine, best.t), 4*best.t)
	}
	return min(t, s.longest), true
}

// end is next where the lowest point, whose index is last, is the longest step: φ falls
// until there, unless it rises again before.
func (s *search) end(last int) (t float64, more bool) {
	low, best := s.points[last-1], s.points[last]
	fine, coarse := s.estimates(last)
	shorter := (1 - overshoot) * best.t
	switch {
	case last == 1: // a parabola alone does not tell
		return shorter, true
	case low.t+s.fine*best.t < fine && fine < (1-s.fine)*best.t:
		return fine, true
	case !best.near(fine, s.fine): // beyond
		return 0, false
	case !best.near(coarse, s.coarse) && low.t < (1-s.fine)*shorter:
		return shorter, true
	}
	s.minimiser = min(fine, s.longest)
	return 0, false
}

// interpolate moves the answer to a place that lies lower, though it was not evaluated.
func (r *searchResult) interpolate(t, lower float64) {
	if !(lower > 0) {
		return
	}
	r.t, r.value = t, r.value-lower
	i, _ := slices.BinarySearchFunc(r.points, t, func(p [2]float64, t float64) int { return cmp.Compare(p[0], t) })
	r.points = slices.Insert(r.points, i, [2]float64{r.t, r.value})
}

// result is the lowest point, or t = 0 unless the status is ok, with everything
// that was evaluated.
func (s *search) result(status Status, reason string) searchResult {
	r := searchResult{value: s.phi0, evaluations: s.evaluations, status: status, reason: reason}
	if status == StatusOK {
		p := s.points[s.lowest()]
		r.t, r.value = p.t, p.value
		r.minimiser = cmp.Or(s.minimiser, p.t)
	}
	for _, p := range s.points {
		if !math.IsInf(p.value, 1) {
			r.points = append(r.points, [2]float64{p.t, p.value})
		}
	}
	return r
}
