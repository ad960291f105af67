package pol

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestBestRate: losses that are parabolas in the logarithm of the rate have their minimum
// found, upwards from the first rate, without going where it does harm.
func TestBestRate(t *testing.T) {
	parabola := func(at float64) func(float64) float64 {
		return func(rate float64) float64 { return 3 + math.Pow(math.Log(rate/at), 2)/10 }
	}
	upTo := func(limit float64, f func(float64) float64) func(float64) float64 {
		return func(rate float64) float64 {
			if rate > limit {
				return math.Inf(1)
			}
			return f(rate)
		}
	}
	for name, test := range map[string]struct {
		most, before float64
		loss         func(rate float64) float64
		want         float64
		runs         int
	}{
		"a minimum above":                   {math.Inf(1), 9, parabola(0.07), 0.07, 3},
		"harm above it":                     {math.Inf(1), 9, upTo(0.1, parabola(0.025)), 0.025, 4},
		"harm right above it":               {math.Inf(1), 9, upTo(0.1, parabola(0.07)), 0.04, 4},
		"the lowest is the last":            {0.2, 9, parabola(0.11), 0.11, 4},
		"still falling at the last":         {0.2, 9, parabola(5), 0.16, 4},
		"the first is best":                 {math.Inf(1), 9, parabola(0.01), 0.01, 2},
		"none lowers the loss":              {math.Inf(1), 3, parabola(0.07), 0.01, 1},
		"the first does harm":               {math.Inf(1), 9, upTo(0, nil), 0.01, 1},
		"nothing but the first is in reach": {0.03, 9, parabola(5), 0.01, 1},
		"for ever":                          {math.Inf(1), 99, parabola(1e9), 2.56, maxTrialRuns},
		"a rise that cannot be seen": {math.Inf(1), 3.1, func(rate float64) float64 {
			return map[float64]float64{0.01: 3.101, 0.04: 2.9, 0.16: 3.101}[rate]
		}, 0.04, 3},
		"not a number": {math.Inf(1), 9, func(float64) float64 { return math.NaN() }, 0.01, 1},
	} {
		runs := 0
		got, err := bestRate(0.01, test.most, test.before, func(rate float64) (float64, error) {
			runs++
			if rate > test.most {
				t.Errorf("%s: rate %v", name, rate)
			}
			return test.loss(rate), nil
		})
		if err != nil || !(math.Abs(got/test.want-1) < 1e-9) || runs != test.runs {
			t.Errorf("%s: rate %v from %d runs, error %v; want %v from %d", name, got, runs, err, test.want, test.runs)
		}
	}
	broken := errors.New("broken")
	for fails := 1; fails <= 4; fails++ {
		runs := 0
		_, err := bestRate(0.01, math.Inf(1), 9, func(rate float64) (float64, error) {
			if runs++; runs == fails {
				return 0, broken
			}
			return upTo(0.1, parabola(0.07))(rate), nil
		})
		if err != broken || runs != fails {
			t.Errorf("an error in run %d is %v after %d", fails, err, runs)
		}
	}
}

// TestTrialRunsLeaveNothing: a training after trial runs has the bits of one that is
// given the rate that they have chosen, with mixing and with scans that serve several
// steps, too.
func TestTrialRunsLeaveNothing(t *testing.T) {
	m, layers, data := newProblem()
	higher, same := 0, 0
	for name, plan := range plans(t, layers) {
		for _, mix := range []float64{0, 0.5} {
			opt := smallOptions()
			opt.Rate, opt.Mix, opt.PerturbEvery = 0, mix, 2
			check := untouched(&m.weightTable)
			chosen := treat(t, m, data, plan, opt)
			check(t)
			pace := chosen.Pace
			if len(pace.Runs) == 0 || pace.Examples != data.Validation.Len() || !(pace.Before > 0) {
				t.Fatalf("%s, mix %v: pace %+v", name, mix, pace)
			}
			if pace.Undone+pace.Restarted > 0 {
				continue // mixed, the training goes elsewhere
			}
			same++
			opt.Rate = pace.First
			if given := treat(t, m, data, plan, opt); !sameWeights(chosen.Weights, given.Weights) {
				t.Errorf("%s, mix %v: other weights than at the given rate %v", name, mix, pace.First)
			}
			if pace.First > 1.5*pace.Runs[0].Rate {
				higher++
			}
		}
	}
	if higher < 5 || same < 6 {
		t.Errorf("of 12 trainings, trial runs have raised the rate of %d, and %d have kept it", higher, same)
	}
}

// TestTrialRunsStopAtHarm: a run at a rate that destroys the model ends before its last
// step, and is not chosen.
func TestTrialRunsStopAtHarm(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["sgd"], smallOptions()
	trainer, v := openTrainer(t, m, data, plan, &opt)
	before, err := v.loss(t.Context(), trainer.parameters.neck)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPacer(trainer, before)
	if err != nil {
		t.Fatal(err)
	}
	for rate, harm := range map[float64]bool{0.01: false, 1e4: true, 1e30: true} {
		run, err := p.try(t.Context(), trainer, v, rate, &progress{})
		if err != nil || run.Rate != rate || harm != (run.Loss == nil) || harm != (run.Steps < trialRunSteps(trainer.steps())) {
			t.Errorf("at rate %v: %+v, error %v", rate, run, err)
		}
		if after, err := v.loss(t.Context(), trainer.parameters.neck); err != nil || after != before {
			t.Errorf("after a run at rate %v the loss is %v, error %v; it was %v", rate, after, err, before)
		}
	}
	if trainer.pacer != nil {
		t.Error("a trial run leaves its rate behind")
	}
}

// TestTrialRunsAreToldOf: trial runs are a phase of the progress, before the first epoch,
// and are part of what a plan is said to cost, unless the rate is given.
func TestTrialRunsAreToldOf(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	for _, rate := range []float64{0, 0.05} {
		opt.Rate, opt.Progress = rate, nil
		cost, err := EstimateCost(t.Context(), nntest.On(m), data, plan, opt)
		if err != nil {
			t.Fatal(err)
		}
		var phases []string
		last := 0
		opt.Progress = func(phase string, done, total int) {
			if len(phases) == 0 || phases[len(phases)-1] != phase {
				phases = append(phases, phase)
			}
			if phase == PhaseRate {
				last = done
				if done > total || total != cost.TrialSteps {
					t.Errorf("%d of %d steps of trial runs, which cost at most %d", done, total, cost.TrialSteps)
				}
			}
		}
		r := treat(t, m, data, plan, opt)
		if rate > 0 {
			if cost.TrialSteps != 0 || slices.Contains(phases, PhaseRate) {
				t.Errorf("at a given rate, %d trial steps and the phases %v", cost.TrialSteps, phases)
			}
			continue
		}
		made := 0
		for _, run := range r.Pace.Runs {
			made += run.Steps
		}
		if last != made || !slices.Equal(phases[:3], []string{PhaseCache, PhaseRate, "epoch 1 of 3"}) {
			t.Errorf("told of %d of %d steps in trial runs, in the phases %v", last, made, phases)
		}
		if total, without := cost.Total(opt.Epochs), cost.CacheTime+cost.Training()+cost.Validating(opt.Epochs)+cost.HoldoutTime; total != without+cost.Choosing() || cost.Choosing() == 0 {
			t.Errorf("%v in all, %v without the trial runs of %v", total, without, cost.Choosing())
		}
	}
}
