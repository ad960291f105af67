package pol

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestEstimate measures a step, and leaves everything as it was.
func TestEstimate(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, noCache := range []bool{false, true} {
			m, _, data := newProblem()
			opt := smallOptions()
			opt.NoCache, opt.Memory, opt.TempDir = noCache, 1, t.TempDir()
			check := untouched(&m.weightTable)
			cost, err := EstimateCost(t.Context(), nntest.On(m), data, plan, opt)
			if err != nil {
				t.Fatal(err)
			}
			check(t)
			expectEmpty(t, opt.TempDir)
			m.calls = nil
			r := treat(t, m, data, plan, opt)
			if cost.Cache != r.Cache || cost.Steps != r.Steps {
				t.Errorf("%s, NoCache %v: %+v, was %+v in %d steps", name, noCache, cost, r.Cache, r.Steps)
			}
			if cost.StepTime <= 0 || cost.ValidationTime <= 0 || cost.HoldoutTime <= 0 || noCache != (cost.CacheTime == 0) {
				t.Errorf("%s, NoCache %v: %+v", name, noCache, cost)
			}
			if search := plan.Recipe.Rule == Search; cost.ScanShare < 0 || cost.ScanShare > 1 || search != (cost.ScanShare > 0) {
				t.Errorf("%s: a share of %v for the scan", name, cost.ScanShare)
			}
			if total := cost.Total(opt.Epochs); total < cost.CacheTime+9*cost.StepTime+5*cost.ValidationTime+cost.HoldoutTime {
				t.Errorf("%s: %v in all, of %+v", name, total, cost)
			}
		}
	}
}

// TestEstimateAfterFailure leaves the weights alone too.
func TestEstimateAfterFailure(t *testing.T) {
	m, layers, data := newProblem()
	plan := plans(t, layers)["pol below"]
	check := untouched(&m.weightTable)
	if _, err := EstimateCost(t.Context(), nntest.On(m), data, plan, smallOptions()); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 10; n++ {
		m.calls = nil
		m.hook = func(number int) error {
			if number == n {
				return errInjected
			}
			return nil
		}
		if _, err := EstimateCost(t.Context(), nntest.On(m), data, plan, smallOptions()); !errors.Is(err, errInjected) {
			t.Errorf("call %d failed: error %v", n, err)
		}
		check(t)
	}
}

// slow takes 5 ms an example for whatever starts from the images.
type slow struct{ *perceptron }

func (m slow) Advance(ctx context.Context, from, to int, in, out []float32) error {
	if from == 0 {
		time.Sleep(time.Duration(len(in)/m.sizes[0]) * 5 * time.Millisecond)
	}
	return m.perceptron.Advance(ctx, from, to, in, out)
}

// TestEstimateOfPrefix: with a cache a step does not pay for what lies below the
// neck, and without one the evaluations of V pay too.
func TestEstimateOfPrefix(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := Plan{recipe(t, "pol"), layers[2:], layers[2:]}, smallOptions()
	costs := map[bool]Cost{}
	for _, noCache := range []bool{false, true} {
		opt.NoCache = noCache
		for attempt := range 3 { // the shortest times are those that nothing else has delayed
			cost, err := EstimateCost(t.Context(), nntest.On(slow{m}), data, plan, opt)
			if err != nil {
				t.Fatal(err)
			}
			if before := costs[noCache]; attempt > 0 {
				cost.StepTime, cost.ValidationTime = min(cost.StepTime, before.StepTime), min(cost.ValidationTime, before.ValidationTime)
			}
			costs[noCache] = cost
		}
	}
	// What lies below the neck sleeps, so that the times differ by more than their noise.
	if with, without := costs[false], costs[true]; with.StepTime >= without.StepTime || with.ValidationTime >= without.ValidationTime {
		t.Errorf("with a cache a step takes %v and V %v, without one %v and %v", with.StepTime, with.ValidationTime, without.StepTime, without.ValidationTime)
	}
	// A step brings the images of one update to the neck, not those of its perturbation.
	if below := costs[true].StepTime - costs[false].StepTime; below > time.Duration(opt.Batch+opt.PerturbBatch)*5*time.Millisecond {
		t.Errorf("a step takes %v below the neck", below)
	}
}
