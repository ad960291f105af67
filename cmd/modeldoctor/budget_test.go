package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// TestAfford: as many layers are searched as what is left suffices for at the speed of
// ranking, whatever the other phases took, and at least one.
func TestAfford(t *testing.T) {
	for _, c := range []struct {
		left time.Duration // that is planned with
		want int
	}{{time.Hour, 3}, {25 * time.Second, 2}, {15 * time.Second, 1}, {5 * time.Second, 1}, {-time.Hour, 1}} {
		var stderr bytes.Buffer
		s := &spending{budget: budget{time: 4 * time.Hour}, con: newConsole(&stderr, false)}
		s.start = time.Now().Add(c.left - time.Duration(plannedShare*float64(s.budget.time)))
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

// readCheck reads the flags of check, and does nothing.
func readCheck(t *testing.T, stderr io.Writer, flags ...string) (opt checkOptions) {
	t.Helper()
	app := newApp(io.Discard, stderr)
	check := app.Commands[slices.IndexFunc(app.Commands, func(c *cli.Command) bool { return c.Name == "check" })]
	check.Action = func(c *cli.Context) (err error) {
		opt, err = readCheckOptions(c)
		return err
	}
	if err := app.RunContext(t.Context(), slices.Concat([]string{"modeldoctor", "check", "--config", "none"}, flags, []string{fixture})); err != nil {
		t.Fatal(err)
	}
	return opt
}

// TestBudgetByDefault: there is one where nothing says how much is to be done or for how
// long, and not on a GPU.
func TestBudgetByDefault(t *testing.T) {
	for flags, want := range map[string]budget{
		"":                    {defaultBudget, true},
		"--layers blocks.*":   {defaultBudget, true},
		"--budget 0":          {},
		"--budget 5m":         {5 * time.Minute, false},
		"--samples 500":       {},
		"--race 2":            {},
		"--timeout 2h":        {},
		"--with-raw":          {},
		"--budget 0 --race 2": {},
	} {
		opt := readCheck(t, io.Discard, strings.Fields(flags)...)
		if opt.budget != want {
			t.Errorf("check %s: %+v, want %+v", flags, opt.budget, want)
		}
		s, stop := newSpending(t.Context(), opt, true, time.Now())
		stop()
		if want.byDefault && s.budget.time != 0 {
			t.Errorf("check %s on a GPU: %+v", flags, s.budget)
		}
	}
}

// TestDefaultBudgetIsOnlyALimit: it changes nothing where it suffices, and else the report
// and a warning say that nobody has set it.
func TestDefaultBudgetIsOnlyALimit(t *testing.T) {
	var stderr bytes.Buffer
	opt := readCheck(t, &stderr, "--quiet", "--layers", "blocks.5,head", "--preprocess", "cifar100")
	check := func(passed time.Duration) (result *report.Check) {
		file, err := openModel(fixture, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		opt.budget = budget{100 * time.Hour, true}
		if err := onFile(t.Context(), file, opt.model, opt.run, func(m *loaded) (err error) {
			result, err = checkLoaded(t.Context(), m, opt, time.Now().Add(-passed))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return result
	}
	if enough := check(0); enough.Plan != nil || enough.Data.ValN != 1000 || stderr.Len() > 0 {
		t.Errorf("with enough time: plan %+v, %d images, stderr %q", enough.Plan, enough.Data.ValN, &stderr)
	}
	nothingLeft := time.Duration(plannedShare * float64(opt.budget.time))
	short := check(nothingLeft)
	if p := short.Plan; p == nil || !p.ByDefault || p.Images >= p.Available || p.Searched != 1 || p.Spent {
		t.Errorf("with too little time: plan %+v", p)
	}
	if !strings.Contains(stderr.String(), "all layers and images would take about") {
		t.Errorf("with too little time stderr is %q", &stderr)
	}
}
