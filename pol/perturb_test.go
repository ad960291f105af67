package pol

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// TestScanAlong follows the scan along functions whose points are known.
func TestScanAlong(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	const base = 1.0
	// valley falls until low and is above base from high on.
	valley := func(low, high float64) func(float64) float64 {
		return func(c float64) float64 {
			if c >= high {
				return base + c
			}
			return base - 1 + math.Abs(c-low)/(low+high)
		}
	}
	beyond := func(limit, value float64, f func(float64) float64) func(float64) float64 {
		return func(c float64) float64 {
			if c >= limit {
				return value
			}
			return f(c)
		}
	}
	tests := []struct {
		name  string
		loss  func(c float64) float64
		end   float64   // 0: rejected
		best  float64   // where not rejected
		first []float64 // the points that find the range
	}{
		{"doubles", valley(5.1, 7), 8, 5, []float64{1, 2, 4, 8}},
		{"one doubling", valley(0.7, 1.5), 2, 0.75, []float64{1, 2}},
		{"halves", valley(0.05, 0.2), 0.25, 0.046875, []float64{1, 0.5, 0.25, 0.125}},
		{"one halving", valley(0.3, 0.9), 1, 0.3125, []float64{1, 0.5}},
		{"the end may be the last doubling", valley(9000, 9001), 16384, 8192, powers(2, 14)},
		{"never rises", func(c float64) float64 { return base - c }, 0, 0, powers(2, 14)},
		{"rises too late", valley(9000, 16385), 0, 0, powers(2, 14)},
		{"stays level", func(float64) float64 { return base }, 0, 0, powers(2, 14)},
		{"the last halving falls", valley(0x1p-15, 0x1.8p-14), 0x1p-13, 0x1p-15, powers(0.5, 14)},
		{"falls too late", valley(0x1p-16, 0x1p-14), 0, 0, powers(0.5, 14)},
		{"never falls", func(c float64) float64 { return base + c }, 0, 0, powers(0.5, 14)},
		{"level counts as fallen", beyond(0.3, 2, func(float64) float64 { return base }), 0.5, 0.03125, []float64{1, 0.5, 0.25}},
		{"infinite beyond", beyond(3, inf, valley(1, 3)), 4, 1, []float64{1, 2, 4}},
		{"not a number beyond", beyond(3, nan, valley(1, 3)), 4, 1, []float64{1, 2, 4}},
		{"not a number at once", beyond(0.4, nan, valley(0.1, 0.4)), 0.5, 0.09375, []float64{1, 0.5, 0.25}},
		{"never a number", func(float64) float64 { return nan }, 0, 0, powers(0.5, 14)},
		// The scan sees a better point than the doubling did, and a gap in it.
		{"a gap in the range", func(c float64) float64 {
			switch {
			case c >= 8:
				return 2
			case c > 1.9 && c < 2.1:
				return nan // met by the doubling: the range ends there
			}
			return 0.5
		}, 2, 0.125, []float64{1, 2}},
		{"the first among equals", func(c float64) float64 {
			if c >= 4 {
				return 2
			}
			return 0.25
		}, 4, 0.25, []float64{1, 2, 4}},
	}
	for _, test := range tests {
		var points []float64
		best, found, err := scanAlong(base, func(some []float64) (losses []float64, err error) {
			points = append(points, some...)
			for _, c := range some {
				losses = append(losses, test.loss(c))
			}
			return losses, nil
		})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		want := slices.Clone(test.first)
		if test.end > 0 {
			for k := 1; k <= 16; k++ {
				if c := test.end * float64(k) / 16; !slices.Contains(want, c) {
					want = append(want, c)
				}
			}
		}
		if !slices.Equal(points, want) {
			t.Errorf("%s: evaluated at\n%v, want\n%v", test.name, points, want)
		}
		if found != (test.end > 0) || found && best != test.best {
			t.Errorf("%s: c* = %v, found %v, want %v", test.name, best, found, test.best)
		}
	}
}

// powers are the powers of a number, from the zeroth to the last.
func powers(x float64, last int) []float64 {
	all := []float64{1}
	for k := range last {
		all = append(all, all[k]*x)
	}
	return all
}

// TestScanAlongFails returns the error of any evaluation.
func TestScanAlongFails(t *testing.T) {
	for failing := 1; ; failing++ {
		n := 0
		_, found, err := scanAlong(1, func(points []float64) (losses []float64, err error) {
			if n++; n == failing {
				return nil, errInjected
			}
			for _, c := range points {
				losses = append(losses, math.Abs(c-5)) // 4, 3, 1, 3: base is 1, so that the halving meets none
			}
			return losses, nil
		})
		if err == nil && n < failing {
			return
		}
		if !errors.Is(err, errInjected) || found {
			t.Errorf("evaluation %d failed: found %v, error %v", failing, found, err)
		}
	}
}
