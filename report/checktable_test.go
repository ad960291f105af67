package report

import "testing"

// TestDrawnIntervals: the limit is seen beside an interval and within it, and what has no
// interval is a point.
func TestDrawnIntervals(t *testing.T) {
	limit := 0.25
	s := scale{low: -0.25, high: 1, limit: &limit, width: 11} // a column is 0.125
	for _, c := range []struct {
		low, mean, high float64
		want            string
	}{
		{-0.25, 0, 0.125, "├─●┤┆"},
		{0, 0.5, 1, "  ├─┼─●───┤"},
		{0.5, 0.75, 1, "    ┆ ├─●─┤"},
		{0.5, 0.5, 0.5, "    ┆ ●"},
		{0, 0.25, 0.5, "  ├─●─┤"},
	} {
		if got := s.draw(c.low, c.mean, c.high); got != c.want {
			t.Errorf("%v (%v to %v): %q, want %q", c.mean, c.low, c.high, got, c.want)
		}
	}
	if got, want := (scale{low: 0, high: 1, width: 5}).draw(0.25, 0.5, 0.75), " ├●┤"; got != want {
		t.Errorf("without a limit %q, want %q", got, want)
	}
	if got, want := (scale{width: 5}).draw(0, 0, 0), "●"; got != want {
		t.Errorf("nothing but zero %q, want %q", got, want)
	}
}
