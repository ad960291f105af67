package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
)

// TestAfford: as many layers are searched as what is left suffices for at the speed of
// ranking, whatever the other phases took, and at least one.
func TestAfford(t *testing.T) {
	for _, c := range []struct {
		left time.Duration // that is planned with
		want int
	}{{time.Hour, 3}, {25 * time.Second, 2}, {15 * time.Second, 1}, {5 * time.Second, 1}, {-time.Hour, 1}} {
		var stderr bytes.Buffer
		s := &spending{budget: 4 * time.Hour, con: newConsole(&stderr, false)}
		s.start = time.Now().Add(c.left - time.Duration(plannedShare*float64(s.budget)))
		s.progress("1/3 "+diag.PhaseLoss, 0, 1000)
		s.progress("2/3 "+diag.PhaseGradients, 100, 1000)
		s.progress("3/3 "+diag.PhaseRanking, 400, 1000)
		s.since = s.since.Add(-10 * time.Second) // for 100 units
		s.progress("3/3 "+diag.PhaseRanking, 450, 1000)
		s.progress("3/3 "+diag.PhaseRanking, 500, 1000)
		if got := s.afford([]int{120, 220, 300}); got != c.want {
			t.Errorf("with %v left %d layers are searched, want %d", c.left, got, c.want)
		}
	}
}

// TestBudgetIsOver tells the end of a budget from that of --timeout.
func TestBudgetIsOver(t *testing.T) {
	ended, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, c := range []struct {
		outer context.Context
		err   error
		want  bool
	}{{t.Context(), context.DeadlineExceeded, true}, {ended, context.DeadlineExceeded, false}, {t.Context(), context.Canceled, false}, {t.Context(), nil, false}} {
		s := &spending{outer: c.outer}
		if got := s.over(c.err); got != c.want {
			t.Errorf("%v, with %v outside: %v", c.err, c.outer.Err(), got)
		}
	}
}
