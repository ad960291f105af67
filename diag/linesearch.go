package diag

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Limits of a line search.
const (
	maxHalvings    = 40   // of the probe, and again of the start
	maxDoublings   = 40   // of the probe, and again of the start
	maxRefinements = 40   // steps inside the bracket
	searchTol      = 1e-2 // relative width in t at which the search ends
	goldenSection  = 0.3819660112501051
	probeShare     = 1.0 / 16 // of the step at which the tangent reaches zero
)

// searchResult is the outcome of a line search.
type searchResult struct {
	t, value    float64      // the lowest evaluated point
	points      [][2]float64 // all finite evaluated points and t = 0, ascending in t
	evaluations int          // calls of φ
	capped      bool         // φ still falls at the longest step allowed, which t is
	status      Status       // ok, flat or diverged
	reason      string       // qualifies the status; may be empty
}

// lineSearch finds a step t > 0 that lowers φ: the first local minimiser that
// [firstMinimiser] meets. Only if that does not lower φ is the step halved until
// it does, and the search refined there. If no evaluated point lowers φ the
// status is flat and t = 0.
func lineSearch(phi func(t float64) (float64, error), phi0, slope float64) (searchResult, error) {
	s, r, err := firstMinimiser(phi, phi0, slope, usualProbe(phi0, slope), math.Inf(1))
	if err != nil || r.status != StatusOK || r.value < phi0 {
		return r, err
	}
	switch ok, err := s.shrink(); {
	case err != nil:
		return searchResult{}, err
	case !ok:
		return s.result(StatusFlat, "no step along the gradient lowers the loss"), nil
	}
	if err := s.refine(); err != nil {
		return searchResult{}, err
	}
	return s.result(StatusOK, ""), nil
}

// firstMinimiser finds the first local minimiser of φ, 0 < t ≤ longest, that it
// meets, given φ(0) and the slope φ'(0) < 0, and not calling φ at 0. A value of φ that is
// not finite counts as higher than any other. The first bracket found counts,
// even where it has stepped over a dent beside t = 0 and its minimum lies above
// φ(0): the transfer figure, which charges such a step to the layer on other
// examples, is defined by it.
//
// The first point evaluated, the probe, is halved while φ is not finite and
// doubled while the parabola through φ(0), φ'(0) and the probe is not convex. That
// parabola's minimiser is the start. The step is doubled until the lowest evaluated point at t > 0 has a
// higher one beyond it, or no longer step is allowed: if φ falls until there,
// longest is the answer, and capped. Within this bracket the minimisers
// of a cubic and of a parabola (see refine) are evaluated until both lie within
// searchTol of the lowest point, which is the answer. On a quadratic the answer
// is exact.
//
// If no probe is finite the status is diverged. An error of φ ends the search.
func firstMinimiser(phi func(t float64) (float64, error), phi0, slope, probe, longest float64) (*search, searchResult, error) {
	if !(slope < 0) || !(longest > 0) || !metric.IsFinite(slope) || !metric.IsFinite(phi0) {
		panic(fmt.Sprintf("diag: line search from φ(0) = %g with slope %g up to %g", phi0, slope, longest))
	}
	s := &search{phi: phi, phi0: phi0, slope: slope, longest: longest, points: []point{{0, phi0}}}
	if ok, err := s.start(min(probe, longest)); err != nil {
		return nil, searchResult{}, err
	} else if !ok {
		return s, s.result(StatusDiverged, fmt.Sprintf("the loss is not finite even after %d halvings of the first step", maxHalvings)), nil
	}
	closed, err := s.bracket()
	if err == nil && closed {
		err = s.refine()
	}
	if err != nil {
		return nil, searchResult{}, err
	}
	r := s.result(StatusOK, "")
	if r.capped = !closed && r.t == longest; !closed && !r.capped {
		r.reason = fmt.Sprintf("the loss still falls after %d doublings of the step", maxDoublings)
	}
	return s, r, nil
}

// usualProbe is where a search begins that knows nothing but φ(0) and φ'(0).
func usualProbe(phi0, slope float64) float64 { return probeShare * math.Abs(phi0) / -slope }

type point struct{ t, value float64 }

// search is the state of a line search.
type search struct {
	phi         func(t float64) (float64, error)
	phi0, slope float64
	longest     float64 // step allowed; may be infinite
	points      []point // evaluated, ascending in t, from t = 0; +Inf for any value that is not finite
	evaluations int
}

// at evaluates φ(t), once for each t.
func (s *search) at(t float64) (float64, error) {
	i, found := slices.BinarySearchFunc(s.points, t, func(p point, t float64) int {
		switch {
		case p.t < t:
			return -1
		case p.t > t:
			return 1
		}
		return 0
	})
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

// lowest is the index of the lowest evaluated point, the first among equals.
// t = 0 is not among them: a search that overlooks a small dent beside it goes
// on to the minimum beyond.
func (s *search) lowest() int {
	low := 1
	for i := 2; i < len(s.points); i++ {
		if s.points[i].value < s.points[low].value {
			low = i
		}
	}
	return low
}

// start probes φ at t and evaluates the minimiser of the parabola through the
// probe. It reports false if no probe is finite.
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
	for doublings := 0; err == nil && !math.IsInf(v, 1); doublings++ {
		curvature := (v - s.phi0 - s.slope*t) / (t * t)
		if minimiser := -s.slope / (2 * curvature); curvature > 0 && metric.IsFinite(minimiser) {
			_, err = s.at(min(minimiser, s.longest))
			break
		}
		if doublings == maxDoublings || t == s.longest {
			break
		}
		t = min(2*t, s.longest)
		v, err = s.at(t)
	}
	return true, err
}

// bracket doubles the step until the lowest point has one beyond it that is no
// lower. It reports false if there is no such bracket and the lowest point has
// to do: the longest one allowed, or that of the last doubling.
func (s *search) bracket() (bool, error) {
	for range maxDoublings {
		low := s.lowest()
		next := min(2*s.points[low].t, s.longest)
		switch {
		case low < len(s.points)-1:
			return true, nil
		case s.points[low].t < s.longest:
		case low > 1 && s.points[low-1].t >= (1-2*searchTol)*s.longest:
			return false, nil // φ falls until the end
		default: // unless it rises again before the end
			next = (1 - 2*searchTol) * s.longest
		}
		if _, err := s.at(next); err != nil {
			return false, err
		}
	}
	return false, nil
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

// refine narrows the bracket around the lowest point. Two estimates of the
// minimiser are followed until both lie within searchTol of it: that of the
// cubic through φ(0), φ'(0) and the two lowest points, which knows the way
// there, and that of the parabola through the lowest point and its neighbours,
// which knows the place. The cubic alone ends searches of flat valleys early.
func (s *search) refine() error {
	for range maxRefinements {
		i := s.lowest()
		low, best, high := s.points[i-1].t, s.points[i].t, s.points[i+1].t
		if high-low <= 2*searchTol*best {
			return nil
		}
		near := func(t float64) bool { return math.Abs(t-best) <= searchTol*best }
		t, ok := s.cubicMinimiser(i)
		if ok = ok && low < t && t < high; !ok || near(t) {
			t = s.parabolaMinimiser(i)
		}
		switch {
		case !near(t):
		case ok:
			return nil
		case high-best > best-low:
			t = best + goldenSection*(high-best)
		default:
			t = best - goldenSection*(best-low)
		}
		if _, err := s.at(t); err != nil {
			return err
		}
	}
	return nil
}

// parabolaMinimiser is the minimiser of the parabola through the lowest point,
// whose index is low, and its neighbours, or a golden section of the bracket
// where there is no such parabola: towards a neighbour that is not finite, or
// towards t = 0 if the lowest point is no lower than that.
func (s *search) parabolaMinimiser(low int) float64 {
	p, q, r := s.points[low-1], s.points[low], s.points[low+1]
	left, right := (q.value-p.value)/(q.t-p.t), (r.value-q.value)/(r.t-q.t)
	switch {
	case math.IsInf(r.value, 1):
		return q.t + goldenSection*(r.t-q.t)
	case left >= 0:
		return q.t - goldenSection*(q.t-p.t)
	}
	return (p.t+q.t)/2 - left*(r.t-p.t)/(2*(right-left))
}

// cubicMinimiser is the minimiser of the cubic φ(0) + φ'(0)t + at² + bt³ through
// the lowest point, whose index is low, and the second lowest at t > 0.
func (s *search) cubicMinimiser(low int) (float64, bool) {
	second := 0
	for i, p := range s.points {
		if i == 0 || i == low || math.IsInf(p.value, 1) {
			continue
		}
		if second == 0 || p.value < s.points[second].value {
			second = i
		}
	}
	if second == 0 {
		return 0, false
	}
	// (φ(t) − φ(0) − φ'(0)t)/t² = a + bt at both points.
	rest := func(p point) float64 { return (p.value - s.phi0 - s.slope*p.t) / (p.t * p.t) }
	p, q := s.points[low], s.points[second]
	b := (rest(q) - rest(p)) / (q.t - p.t)
	a := rest(p) - b*p.t
	discriminant := a*a - 3*b*s.slope
	if !(discriminant >= 0) {
		return 0, false
	}
	// The root of φ'(0) + 2at + 3bt² where the cubic is convex, written so that
	// it stays exact as b vanishes.
	t := -s.slope / (a + math.Sqrt(discriminant))
	return t, t > 0 && metric.IsFinite(t)
}

// result is the lowest point, or t = 0 unless the status is ok, with everything
// that was evaluated.
func (s *search) result(status Status, reason string) searchResult {
	r := searchResult{value: s.phi0, evaluations: s.evaluations, status: status, reason: reason}
	if status == StatusOK {
		p := s.points[s.lowest()]
		r.t, r.value = p.t, p.value
	}
	for _, p := range s.points {
		if !math.IsInf(p.value, 1) {
			r.points = append(r.points, [2]float64{p.t, p.value})
		}
	}
	return r
}
