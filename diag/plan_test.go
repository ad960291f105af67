package diag

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestPlanCosts: what a plan expects a diagnosis, or a race until layers are chosen, to
// take is what their progress counts, where the folds are full batches and gradients
// take three times as long as a forward pass.
func TestPlanCosts(t *testing.T) {
	m, layers, v := newHerd(rand.New(rand.NewPCG(1, 1)), 512, 5, []float64{3, 10, 1, 30})
	pace := Pace{Batch: m.Batch(), Forward: time.Duration(m.Batch() * (m.Necks() - 1)), Gradients: 3 * time.Duration(m.Batch()*(m.Necks()-1))}
	for _, opt := range []Options{{}, {Training: v}, {Direction: Descent, DescentSteps: 2}} {
		s := &spending{Pace: pace, model: nntest.On(m), layers: layers, opt: opt.withDefaults()}
		total := 0
		opt.Temperature, opt.Progress = 1, func(_ string, _, now int) {
			if total == 0 {
				total = now
			}
		}
		diagnose(t, m, v, layers, opt)
		if got := s.all(v.Len()); got != time.Duration(total) {
			t.Errorf("all layers are expected to take %d, and take %d", got, total)
		}
		total, opt.Race = 0, &Race{Layers: 1}
		diagnose(t, m, v, layers, opt)
		if got := s.ranking(v.Len()); got != time.Duration(total) {
			t.Errorf("ranking is expected to take %d, and takes %d", got, total)
		}
	}
}

// TestPlan follows the rule: a time is kept unless not even the least fits, more time
// never buys fewer examples within a kind of plan, and everything is done where it fits.
func TestPlan(t *testing.T) {
	m, layers, _ := newHerd(rand.New(rand.NewPCG(1, 1)), 8, 5, make([]float64, 12))
	sizes := nntest.On(m)
	const n = 5000
	pace := Pace{Batch: 8, Forward: 4 * time.Second, Gradients: 10 * time.Second} // a ViT-B/16 on two cores
	s := &spending{Pace: pace, model: sizes, layers: layers}
	for _, s.Gradients = range []time.Duration{10 * time.Second, time.Second} {
		last := Plan{}
		for within := time.Second; within < 100*time.Hour; within += within / 8 {
			p := s.Plan(sizes, layers, n, Options{}, within)
			least := p.Race && p.Examples == MinTransferExamples && p.Layers == 1
			switch {
			case p.Expected > within && !least:
				t.Errorf("%v: %+v", within, p)
			case p.Layers < 1 || p.Layers > len(layers) || !p.Race && p.Layers != len(layers):
				t.Errorf("%v: %+v", within, p)
			case p.Examples != n && p.Examples%32 != 0, p.Race == last.Race && p.Examples < last.Examples:
				t.Errorf("%v: %+v after %+v", within, p, last)
			case !p.Race && p.Examples < n && p.Examples < enoughExamples:
				t.Errorf("%v: %+v", within, p)
			case p.Race && s.all(enoughExamples+24) <= within:
				t.Errorf("%v: %+v, where all layers fit on enough examples", within, p)
			case p.Race && p.Examples < soughtExamples && s.ranking(224)+s.dearest(224) <= within:
				t.Errorf("%v: %+v, where 200 examples fit", within, p)
			}
			last = p
		}
		if last != (Plan{n, false, 12, s.all(n)}) {
			t.Errorf("with much time: %+v", last)
		}
	}
	s.Gradients = pace.Gradients
	few := pace.Plan(sizes, layers, 40, Options{}, time.Hour)
	if few != (Plan{40, false, 12, s.all(40)}) {
		t.Errorf("of few examples: %+v", few)
	}
	if one := pace.Plan(sizes, layers[:1], n, Options{}, time.Second); one.Race || one.Layers != 1 || one.Examples != MinTransferExamples {
		t.Errorf("of one layer: %+v", one)
	}
	ten := pace.Plan(sizes, layers, n, Options{}, 8*time.Minute)
	t.Logf("of 10 minutes, less what is kept back: %+v", ten)
}

// TestMeasurePace: a batch takes some time, and leaves the model as it was.
func TestMeasurePace(t *testing.T) {
	m, layers, v := newPerceptron(90)
	want := diagnose(t, m, v, layers, Options{})
	pace, err := MeasurePace(t.Context(), nntest.On(m), v, layers, Options{}, time.Minute)
	if err != nil || pace.Batch != m.Batch() || pace.Forward <= 0 || pace.Gradients <= 0 {
		t.Errorf("pace %+v, error %v", pace, err)
	}
	if got := diagnose(t, m, v, layers, Options{}); got.Layers[0].DeltaLoss != want.Layers[0].DeltaLoss || len(m.override) != 0 {
		t.Error("the model is left changed")
	}
	if _, err := MeasurePace(t.Context(), nntest.On(m), &samples{}, layers, Options{}, 0); err == nil {
		t.Error("a pace of no examples")
	}
}
