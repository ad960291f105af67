package diag

import (
	"errors"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
)

func TestLineSearch(t *testing.T) {
	const exact = 1e-12
	tests := []struct {
		name    string
		phi     func(t float64) float64
		slope   float64
		minimum float64
		tol     float64 // relative, in t
		most    int     // evaluations
		status  Status
	}{
		{"quadratic", func(t float64) float64 { return 4.5 - 3*t + 2*t*t }, -3, 0.75, exact, 4, StatusOK},
		{"quadratic, minimum far beyond the probe", func(t float64) float64 { return 1 - 1e-2*t + 1e-5*t*t }, -1e-2, 500, exact, 4, StatusOK},
		{"quadratic, minimum far before the probe", func(t float64) float64 { return 1 - 1e-3*t + 50*t*t }, -1e-3, 1e-5, 1e-6, 3, StatusOK},
		{"quartic", func(t float64) float64 { return 5 - 4*t + t*t*t*t }, -4, 1, searchPrecision.fine, 10, StatusOK},
		{"concave at first", func(t float64) float64 { return 2 + math.Cos(t+0.5) }, -math.Sin(0.5), math.Pi - 0.5, searchPrecision.fine, 10, StatusOK},
		{"softplus and quadratic", func(t float64) float64 { return math.Log1p(math.Exp(3-t)) + 0.01*t*t }, -1 / (1 + math.Exp(-3)), 5.165, 3 * searchPrecision.fine, 8, StatusOK},
		{"two minima, the narrow one stepped over", func(t float64) float64 {
			return 10 - 2*t*math.Exp(-t) - 0.1*math.Exp(-1e4*(t-0.7)*(t-0.7))
		}, -2, 1, searchPrecision.fine, 10, StatusOK},
		{"not finite beyond a radius", func(t float64) float64 {
			if t > 0.01 {
				return math.NaN()
			}
			return 3 - t + 100*t*t
		}, -1, 0.005, 1e-9, 8, StatusOK},
		{"minimum at the edge of the finite", func(t float64) float64 {
			if t > 2 {
				return math.Inf(1)
			}
			return 3 - t
		}, -1, 2, 2 * searchPrecision.fine, 40, StatusOK},
		{"a steep fall, and a flat valley", func(t float64) float64 { return 4.6 - 0.002*t/(0.1+t) + 1e-5*t }, -0.02 + 1e-5, 4.372, 2 * searchPrecision.fine, 10, StatusOK},
		{"a dent beside a hill", func(t float64) float64 { return 1 + t - 2*t*math.Exp(-500*t) }, -1, 0.00063, 2 * searchPrecision.fine, 30, StatusOK},
		{"nowhere finite", func(t float64) float64 {
			if t > 0 {
				return math.NaN()
			}
			return 1
		}, -1, 0, 0, 41, StatusDiverged},
		{"nowhere lower", func(t float64) float64 { return 1 + t }, -1, 0, 0, 90, StatusFlat},
		{"constant", func(float64) float64 { return 1 }, -1, 0, 0, 90, StatusFlat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			calls := map[float64]int{}
			got, err := lineSearch(func(x float64) (float64, error) {
				calls[x]++
				return test.phi(x), nil
			}, curve{phi0: test.phi(0), slope: test.slope}, usualProbe(test.phi(0), test.slope))
			if err != nil || got.status != test.status {
				t.Fatalf("status %q, error %v, want %q", got.status, err, test.status)
			}
			if math.Abs(got.t-test.minimum) > test.tol*test.minimum {
				t.Errorf("t = %v, want %v", got.t, test.minimum)
			}
			if want := test.phi(got.t); got.value != want {
				t.Errorf("value %v, want φ(t) = %v", got.value, want)
			}
			if got.evaluations > test.most || len(calls) != got.evaluations {
				t.Errorf("%d evaluations at %d points, want at most %d, one each", got.evaluations, len(calls), test.most)
			}
			before, beyond := false, test.name == "minimum at the edge of the finite"
			for i, p := range got.points {
				before = before || p[0] < got.t && p[1] > got.value
				beyond = beyond || p[0] > got.t && p[1] > got.value
				if !metric.IsFinite(p[1]) || i > 0 && p[0] <= got.points[i-1][0] {
					t.Errorf("points %v: not finite or not ascending", got.points)
				}
				if p[1] < got.value {
					t.Errorf("point %v is lower than the answer %v", p, got.value)
				}
			}
			if test.status == StatusOK && !(before && beyond) {
				t.Errorf("no higher point on both sides of %v in %v", got.t, got.points)
			}
		})
	}
}

func TestLineSearchFallsForEver(t *testing.T) {
	got, err := lineSearch(func(t float64) (float64, error) { return 1 - t, nil }, curve{phi0: 1, slope: -1}, 1./16)
	if err != nil || got.status != StatusOK || got.reason == "" {
		t.Errorf("status %q, reason %q, error %v, want ok with a reason", got.status, got.reason, err)
	}
}

func TestLineSearchError(t *testing.T) {
	failure := errors.New("broken")
	for after := range 4 {
		calls := 0
		_, err := lineSearch(func(t float64) (float64, error) {
			if calls == after {
				return 0, failure
			}
			calls++
			return 1 - t + t*t*t*t, nil
		}, curve{phi0: 1, slope: -1}, 1./16)
		if !errors.Is(err, failure) {
			t.Errorf("failure at evaluation %d: error %v", after, err)
		}
	}
}

// TestInterpolate: the polynomial through values of one, and its slope at the first
// node, is that polynomial.
func TestInterpolate(t *testing.T) {
	value := func(x float64) float64 { return 2 - 3*x + 0.5*x*x - 0.25*x*x*x + 0.125*x*x*x*x }
	slope := func(x float64) float64 { return -3 + x - 0.75*x*x + 0.5*x*x*x }
	nodes := []float64{0, 1, -2, 0.5, 3}
	for _, double := range []bool{false, true} {
		at, values := append([]float64{}, nodes...), []float64{}
		for _, x := range nodes {
			values = append(values, value(x))
		}
		if double {
			at[1], values[1] = 0, slope(0)
		}
		p := interpolate(at, values)
		for _, x := range []float64{-1, 0, 0.3, 1, 7} {
			if got, want := p.slope(x), slope(x); math.Abs(got-want) > 1e-12*(1+math.Abs(want)) {
				t.Errorf("double node %v: slope %v at %v, want %v", double, got, x, want)
			}
		}
		if x := p.minimiser(0, 7); math.Abs(slope(x)) > 1e-12 {
			t.Errorf("double node %v: the slope is %v at the minimiser %v", double, slope(x), x)
		}
		if x := p.minimiser(0, 1); !math.IsNaN(x) {
			t.Errorf("double node %v: a minimiser %v where the polynomial falls", double, x)
		}
	}
}

// TestLongestStep: where the step allowed ends before, near or after the minimiser.
func TestLongestStep(t *testing.T) {
	phi := func(t float64) float64 { return 5 - 4*t + t*t*t*t } // at its lowest at 1
	for _, probe := range []float64{0.1, 0.6, 1, 4} {
		for _, longest := range []float64{0.2, 0.9, 1.02, 1.1, 1.5, 3, 20, math.Inf(1)} {
			calls := 0
			within := searchRange{probe: probe, longest: longest, enough: longest}
			_, got, err := firstMinimiser(func(t float64) (float64, error) {
				calls++
				if t > longest {
					return 0, errors.New("too long a step")
				}
				return phi(t), nil
			}, curve{phi0: 5, slope: -4}, within, lengthPrecision)
			if err != nil {
				t.Fatal(err)
			}
			want := min(1, longest)
			if math.Abs(got.minimiser-want) > lengthPrecision.fine*want {
				t.Errorf("probe %v, longest %v: minimiser %v, want %v", probe, longest, got.minimiser, want)
			}
			// Within its tolerance of the end the minimiser may lie on either side of it.
			atEnd := math.Abs(longest-1) < lengthPrecision.fine
			if got.capped != (longest < 1) && !atEnd || calls > 8 {
				t.Errorf("probe %v, longest %v: capped %v after %d calls", probe, longest, got.capped, calls)
			}
		}
	}
}

// TestEnough: a search stops where it is clear that the minimiser lies beyond.
func TestEnough(t *testing.T) {
	for _, enough := range []float64{0.1, 10, math.Inf(1)} {
		calls := 0
		_, got, err := firstMinimiser(func(t float64) (float64, error) {
			calls++
			return 5 - 4*t + t*t*t*t, nil
		}, curve{phi0: 5, slope: -4}, searchRange{probe: 4 * enough, longest: math.Inf(1), enough: enough}, searchPrecision)
		switch {
		case err != nil || got.capped || got.reason != "":
			t.Fatal(got, err)
		case enough < 1 && (calls > 3 || got.minimiser <= enough):
			t.Errorf("minimiser %v after %d calls, want one beyond %v after at most 3", got.minimiser, calls, enough)
		case enough > 1 && math.Abs(got.minimiser-1) > searchPrecision.coarse:
			t.Errorf("minimiser %v with enough %v", got.minimiser, enough)
		}
	}
}
