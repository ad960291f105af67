package diag

import (
	"cmp"
	"math"
	"slices"
)

// A polynomial is given by Newton's form: Σ_k coefficients[k] · Π_{j<k} (x − nodes[j]).
type polynomial struct {
	nodes, coefficients []float64
}

// interpolate returns the polynomial that has the values at the nodes, of which only
// the first may come twice: its second value is then the derivative there. Both slices
// become the polynomial's. (Divided differences; see Stoer and Bulirsch, Introduction
// to Numerical Analysis, 2.1.3 and 2.1.5.)
func interpolate(nodes, values []float64) polynomial {
	n, first := len(nodes), 1
	if n > 1 && nodes[1] == nodes[0] {
		slope := values[1]
		values[1] = values[0]
		for i := n - 1; i > 1; i-- {
			values[i] = (values[i] - values[i-1]) / (nodes[i] - nodes[i-1])
		}
		values[1], first = slope, 2
	}
	for k := first; k < n; k++ {
		for i := n - 1; i >= k; i-- {
			values[i] = (values[i] - values[i-1]) / (nodes[i] - nodes[i-k])
		}
	}
	return polynomial{nodes, values}
}

// slope is the derivative at x.
func (p polynomial) slope(x float64) float64 {
	value, slope := 0.0, 0.0
	for k := len(p.coefficients) - 1; k >= 0; k-- {
		slope = slope*(x-p.nodes[k]) + value
		value = value*(x-p.nodes[k]) + p.coefficients[k]
	}
	return slope
}

// minimiser is a local minimiser between two places, by bisection, or NaN unless the
// polynomial falls at the first and rises at the second.
func (p polynomial) minimiser(falls, rises float64) float64 {
	if !(p.slope(falls) < 0 && p.slope(rises) > 0) {
		return math.NaN()
	}
	for {
		middle := falls + (rises-falls)/2
		switch {
		case middle == falls || middle == rises:
			return middle
		case p.slope(middle) < 0:
			falls = middle
		default:
			rises = middle
		}
	}
}

type point struct{ t, value float64 }

// near reports whether t differs from the point's by no more than a share of it.
func (p point) near(t, share float64) bool { return math.Abs(t-p.t) <= share*p.t }

// curve is what is known of φ.
type curve struct {
	phi0, slope float64 // φ(0), φ'(0)
	points      []point // evaluated, ascending in t, from t = 0; +Inf for any value that is not finite
	// logits are those of the examples whose mean loss φ is, or of some of them, at the
	// points and perhaps at others; nil if none are known.
	logits *logitLine
}

// lowest is the index of the lowest evaluated point, the first among equals.
// t = 0 is not among them: a search that overlooks a small dent beside it goes
// on to the minimum beyond.
func (c *curve) lowest() int {
	low := 1
	for i := 2; i < len(c.points); i++ {
		if c.points[i].value < c.points[low].value {
			low = i
		}
	}
	return low
}

// farthestEstimate bounds how far beyond the lowest point a polynomial is followed.
const farthestEstimate = 16

// saturates is the share of what the tangent at 0 promises below which the lowest
// point says that φ does not look like a parabola from 0 on, of which the minimum
// takes half of it: it falls steeply, and then it has a long flat valley.
const saturates = 0.4

// estimates are two of the minimiser near the lowest point, whose index is low; fine
// is the better one, and by how much they differ tells how well it is known. Either is
// NaN where there is none.
func (c *curve) estimates(low int) (fine, coarse float64) {
	coarse = math.NaN()
	if low > 1 && low < len(c.points)-1 && !math.IsInf(c.points[low+1].value, 1) {
		if c.share(low) < saturates {
			return c.valleyEstimates(low)
		}
		coarse = c.parabolaMinimiser(low)
	}
	near := c.nearest(low)
	for near = near[:min(3, len(near))]; len(near) > 0; near = near[:len(near)-1] {
		if fine = c.fromZero(near); !math.IsNaN(fine) {
			if len(near) < 3 || math.IsNaN(coarse) {
				coarse = c.fromZero(near[:max(1, len(near)-1)])
			}
			return fine, coarse
		}
	}
	return math.NaN(), coarse
}

// share is what a point takes off φ(0), of what the tangent at 0 promises there: half
// at the minimum of a parabola.
func (c *curve) share(i int) float64 {
	return (c.phi0 - c.points[i].value) / (-c.slope * c.points[i].t)
}

// nearest are the finite points at t > 0, the lowest first, and then by their distance
// to it in log t.
func (c *curve) nearest(low int) []point {
	var near []point
	for _, p := range c.points[1:] {
		if !math.IsInf(p.value, 1) {
			near = append(near, p)
		}
	}
	slices.SortStableFunc(near, func(a, b point) int { return compareNear(c.points[low].t, a.t, b.t) })
	return near
}

// compareNear puts that of two places first which is nearer to t in log t.
func compareNear(t, a, b float64) int {
	return cmp.Compare(math.Abs(math.Log(a/t)), math.Abs(math.Log(b/t)))
}

// fromZero is the minimiser of the polynomial through φ(0), φ'(0) and points, near the
// first of them; NaN if there is none.
func (c *curve) fromZero(points []point) float64 {
	nodes, values := []float64{0, 0}, []float64{c.phi0, c.slope}
	for _, p := range points {
		nodes, values = append(nodes, p.t), append(values, p.value)
	}
	p, t := interpolate(nodes, values), points[0].t
	if p.slope(t) > 0 {
		return p.minimiser(0, t)
	}
	for far := 1.25 * t; far <= farthestEstimate*t; far *= 1.25 { // the next one, where there are several
		if found := p.minimiser(t, far); !math.IsNaN(found) {
			return found
		}
	}
	return math.NaN()
}

// valleyEstimates are the minimisers of the cubic and of the parabola in log t through
// the lowest point, its neighbours and, for the cubic, the next one.
func (c *curve) valleyEstimates(low int) (fine, coarse float64) {
	best := c.points[low].t
	places := func(points []point) polynomial {
		var nodes, values []float64
		for _, p := range points {
			nodes, values = append(nodes, math.Log(p.t/best)), append(values, p.value)
		}
		return interpolate(nodes, values)
	}
	left, right := math.Log(c.points[low-1].t/best), math.Log(c.points[low+1].t/best)
	points := slices.Clone(c.points[low-1 : low+2])
	coarse = best * math.Exp(places(points).minimiser(left, right))
	fine = math.NaN()
	for _, p := range c.nearest(low) {
		if !slices.Contains(points, p) {
			fine = best * math.Exp(places(append(points, p)).minimiser(left, right))
			break
		}
	}
	if math.IsNaN(fine) {
		return coarse, fine
	}
	return fine, coarse
}

// parabolaMinimiser is the minimiser of the parabola through the lowest point,
// whose index is low, and its neighbours, or a golden section of the bracket
// where there is no such parabola: towards a neighbour that is not finite, or
// towards t = 0 if the lowest point is no lower than that.
func (c *curve) parabolaMinimiser(low int) float64 {
	p, q, r := c.points[low-1], c.points[low], c.points[low+1]
	left, right := (q.value-p.value)/(q.t-p.t), (r.value-q.value)/(r.t-q.t)
	switch {
	case math.IsInf(r.value, 1):
		return q.t + goldenSection*(r.t-q.t)
	case left >= 0:
		return q.t - goldenSection*(q.t-p.t)
	}
	return (p.t+q.t)/2 - left*(r.t-p.t)/(2*(right-left))
}
