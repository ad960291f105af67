package metric

import (
	"math"
	"testing"
)

func TestSpreadOf(t *testing.T) {
	if s := SpreadOf(nil); s != nil {
		t.Errorf("of nothing: %v", *s)
	}
	if s := SpreadOf([]float64{3}); *s != (Spread{3, 0, 1}) {
		t.Errorf("of one: %v", *s)
	}
	s := SpreadOf([]float64{2, 4, 4, 4, 5, 5, 7, 9})
	near(t, "mean", s.Mean, 5, 1e-15, 1)
	near(t, "standard deviation", s.SD, math.Sqrt(32.0/7), 1e-15, 1)
}

func TestLowest(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want int
	}{
		{nil, -1}, {[]float64{math.NaN(), math.Inf(-1)}, -1}, {[]float64{math.NaN(), 2, 1, 1, 3}, 2},
	} {
		if got := Lowest(c.x); got != c.want {
			t.Errorf("of %v: %d, want %d", c.x, got, c.want)
		}
	}
}
