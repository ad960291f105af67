package pol

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestBestEpoch keeps the epoch with the lowest loss on V, whichever it is: of
// treatments with several rates and labels each must show the weights that it
// had then, and among them must be some whose best epoch is the first, the last
// and one in between.
func TestBestEpoch(t *testing.T) {
	_, layers, _ := newProblem()
	plan := plans(t, layers)["sgd"]
	first, middle, last := 0, 0, 0
	for _, wrong := range []bool{false, true} {
		for _, rate := range []float64{0.003, 0.1, 0.5, 1} {
			m, _, data := newProblem()
			if wrong {
				data.Train = contrary(data.Train.(*samples), m.Classes())
			}
			opt := smallOptions()
			opt.Epochs, opt.Rate = 5, rate
			after := make([]map[int][]float32, opt.Epochs+1)
			opt.Save = func(s *State) error {
				after[s.Epochs()] = map[int][]float32{}
				for w, v := range s.current { // sgd updates all weights
					after[s.Epochs()][w] = slices.Clone(v)
				}
				return nil
			}
			r := treat(t, m, data, plan, opt)
			if len(r.Epochs) != opt.Epochs || r.Stopped != "" {
				t.Fatalf("rate %v: %d epochs, stopped: %s", rate, len(r.Epochs), r.Stopped)
			}
			best := 1
			for i, e := range r.Epochs {
				if e.Number != i+1 || e.Steps != 3 {
					t.Errorf("epoch %d is %+v", i+1, e)
				}
				if e.Validation.Loss < r.Epochs[best-1].Validation.Loss {
					best = i + 1
				}
			}
			if r.Best != best || !sameWeights(r.Weights, after[best]) {
				t.Errorf("rate %v: the best epoch is %d, not %d, or has other weights", rate, best, r.Best)
			}
			switch best {
			case 1:
				first++
			case opt.Epochs:
				last++
			default:
				middle++
			}
			// The figures of an epoch are those of its weights on V.
			for w, v := range after[best] {
				m.Override(w, v)
			}
			e, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
			if err != nil {
				t.Fatal(err)
			}
			figures := r.Epochs[best-1].Validation
			near(t, "validation loss", figures.Loss, metric.Mean(e.Losses), 1e-6)
			near(t, "validation error", figures.Error, e.Figures().Error, 0)
			near(t, "validation ECE", figures.ECE, e.Figures().ECE, 1e-6)
		}
	}
	if first == 0 || middle == 0 || last == 0 {
		t.Errorf("the best epoch was the first %d times, the last %d times and another %d times: each should occur", first, last, middle)
	}
}

// TestCheckpointIsNoCandidate: a recipe that only harms shows what it did, and is
// not accepted.
func TestCheckpointIsNoCandidate(t *testing.T) {
	m, layers, data := newProblem()
	before, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
	if err != nil {
		t.Fatal(err)
	}
	data.Train = contrary(data.Train.(*samples), m.Classes())
	r := treat(t, m, data, plans(t, layers)["sgd"], smallOptions())
	for _, e := range r.Epochs {
		if e.Validation.Loss <= metric.Mean(before.Losses) {
			t.Fatalf("epoch %d did no harm", e.Number)
		}
	}
	if r.Best != 1 || r.Weights == nil || r.Accepted() || r.Gain.Mean >= 0 {
		t.Errorf("best epoch %d, accepted %v, gain %+v", r.Best, r.Accepted(), r.Gain)
	}
}

// TestDivergence ends a training with the best until then. The rate multiplies
// all weights at every step until they are no numbers.
func TestDivergence(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["sgd"], smallOptions()
	opt.Epochs, opt.Schedule, opt.Momentum, opt.WeightDecay = 4, Constant, 0, 1
	check := untouched(&m.weightTable)
	opt.Rate = 1e6 // per step, and float32 ends at 3e38: somewhere in epoch 3
	r := treat(t, m, data, plan, opt)
	check(t)
	if len(r.Epochs) != 2 || r.Best != 1 || r.Weights == nil || r.Accepted() {
		t.Fatalf("%d epochs, best %d, accepted %v", len(r.Epochs), r.Best, r.Accepted())
	}
	if !strings.HasPrefix(r.Stopped, "epoch 3, after ") || !strings.HasSuffix(r.Stopped, "is not finite") {
		t.Errorf("stopped: %q", r.Stopped)
	}
	if r.After == nil || r.Gain == nil || r.Gain.Mean > -1e6 {
		t.Errorf("after %+v, gain %+v", r.After, r.Gain)
	}

	opt.Rate = 1e30 // the second step
	r = treat(t, m, data, plan, opt)
	check(t)
	if len(r.Epochs) != 0 || r.Best != 0 || r.Weights != nil || r.Accepted() || r.After != nil || r.Gain != nil || r.ErrorDrop != nil {
		t.Errorf("%d epochs, best %d, accepted %v, after %+v", len(r.Epochs), r.Best, r.Accepted(), r.After)
	}
	if !strings.HasPrefix(r.Stopped, "epoch 1, after ") {
		t.Errorf("stopped: %q", r.Stopped)
	}
}

// TestEveryStepRejected treats a model that the perturbation cannot rise on: b is
// where its slope is zero.
func TestEveryStepRejected(t *testing.T) {
	m, layers, data := newBowl(0.75, 0, 10)
	opt := Options{Epochs: 2, Batch: 5, PerturbBatch: 4, Rate: 0.1, Schedule: Cosine, GammaMax: 2, PerturbEvery: 3, Temperature: 1}
	check := untouched(&m.weightTable)
	r := treat(t, m, data, Plan{recipe(t, "pol"), layers[1:], layers[:1]}, opt)
	check(t)
	for _, e := range r.Epochs {
		if e.Rejected != 2 || e.Steps != 2 || e.TrainLoss != nil {
			t.Errorf("epoch %+v: all of its steps should be rejected", e)
		}
	}
	if len(r.Epochs) != 2 || r.Best != 1 || r.Stopped != "" {
		t.Errorf("%d epochs, best %d, stopped: %q", len(r.Epochs), r.Best, r.Stopped)
	}
	if r.Weights[0][0] != 0.75 || r.Gain == nil || r.Gain.Mean != 0 || r.Accepted() {
		t.Errorf("weights %v, gain %+v", r.Weights, r.Gain)
	}
	if want := 4 * (1 + maxChanges); r.Scans.Evaluations != want {
		t.Errorf("%d evaluations, want %d", r.Scans.Evaluations, want)
	}
}

// TestDivergenceBefore: H before the treatment is the checkpoint's, whatever has
// become of the training.
func TestDivergenceBefore(t *testing.T) {
	m, layers, data := newProblem()
	e, err := Evaluate(t.Context(), nntest.On(m), data.Holdout, nil)
	if err != nil {
		t.Fatal(err)
	}
	opt := smallOptions()
	opt.Schedule, opt.Momentum, opt.WeightDecay, opt.Rate = Constant, 0, 1, 1e30
	r := treat(t, m, data, plans(t, layers)["sgd"], opt)
	if r.Weights != nil {
		t.Fatal("no epoch should have been complete")
	}
	near(t, "loss before", r.Before.Loss, metric.Mean(e.Losses), 1e-6)
	near(t, "loss with a temperature", r.Temperature.Loss, metric.Mean(e.Logits.Losses(1/r.Temperature.Value)), 1e-6)
}

// stubborn is a perceptron whose loss rises nowhere while flat says so. It adds
// up the losses of the examples whose gradient with respect to the head is taken.
type stubborn struct {
	*perceptron
	flat bool
	head float64
}

func (m *stubborn) LossGradients(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(int, []float32) error) error {
	err := m.perceptron.LossGradients(ctx, loss, from, in, labels, invT, want, losses, sink)
	if want[0] == 4 {
		for _, l := range losses[:len(labels)] {
			m.head += l
		}
	}
	return err
}

func (m *stubborn) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	if err := m.perceptron.Evaluate(ctx, from, in, labels, invT, losses, logits); err != nil {
		return err
	}
	if m.flat {
		clear(losses)
	}
	return nil
}

// TestSomeStepsRejected lets the last step of each epoch be rejected: it changes
// nothing, is not counted in the mean loss, and leaves no displaced weight behind
// for the evaluation of V.
func TestSomeStepsRejected(t *testing.T) {
	p, layers, data := newProblem()
	m, opt := &stubborn{perceptron: p}, smallOptions()
	plan := plans(t, layers)["pol below"]
	opt.Batch = 20
	opt.Progress = func(phase string, done, total int) {
		// 2 steps an epoch; the evaluation of V follows the second.
		m.flat = strings.HasPrefix(phase, "epoch") && done == opt.Batch
	}
	opt.Save = func(s *State) error {
		// The model reads the head that is trained, and should read the
		// checkpoint's other weights.
		for w := range 4 {
			if p.override[w] != nil {
				t.Errorf("weight %d is displaced after epoch %d", w, s.Epochs())
			}
		}
		e, err := Evaluate(t.Context(), nntest.On(p), data.Validation, nil)
		if err != nil {
			t.Fatal(err)
		}
		last := s.epochs[len(s.epochs)-1]
		near(t, "validation loss", last.Validation.Loss, metric.Mean(e.Losses), 1e-6)
		if last.Rejected != 1 || last.Steps != 2 || last.TrainLoss == nil {
			t.Fatalf("epoch %+v: one of two steps should be rejected", last)
		}
		near(t, "training loss", *last.TrainLoss, m.head/float64(opt.Batch), 1e-12)
		m.head = 0
		return nil
	}
	if r := treat(t, m, data, plan, opt); r.Steps != 6 || r.Scans.Evaluations < 3*15 {
		t.Errorf("%d steps, %d evaluations", r.Steps, r.Scans.Evaluations)
	}
}

// TestSurrogateLoss uses a surrogate in the update's gradient and nowhere else.
func TestSurrogateLoss(t *testing.T) {
	smooth, err := metric.ParseLoss("smooth:0.3")
	if err != nil {
		t.Fatal(err)
	}
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		m, _, data := newProblem()
		opt := smallOptions()
		plain := treat(t, m, data, plan, opt)
		opt.Loss = smooth
		m.calls = nil
		r := treat(t, m, data, plan, opt)
		if sameWeights(r.Weights, plain.Weights) {
			t.Errorf("%s: the surrogate changes nothing", name)
		}
		examples := map[metric.Loss]int{}
		for _, c := range m.calls {
			if c.kind == "gradients" {
				examples[c.loss] += c.examples
			}
		}
		perturbed := 0
		switch plan.Recipe.Rule {
		case Search:
			perturbed = r.Steps * opt.PerturbBatch
		case Ascent:
			perturbed = r.Steps * opt.Batch
		}
		rejected := 0
		for _, e := range r.Epochs {
			rejected += e.Rejected
		}
		if want := (r.Steps - rejected) * opt.Batch; examples[smooth] != want || examples[metric.Loss{}] != perturbed {
			t.Errorf("%s: gradients of %d examples with the surrogate and %d with the cross-entropy, want %d and %d",
				name, examples[smooth], examples[metric.Loss{}], want, perturbed)
		}
	}
}

// TestProgress counts the images of each phase once, and those of each epoch by
// themselves.
func TestProgress(t *testing.T) {
	m, layers, data := newProblem()
	opt := smallOptions()
	type report struct {
		phase       string
		done, total int
	}
	var reports []report
	opt.Progress = func(phase string, done, total int) { reports = append(reports, report{phase, done, total}) }
	treat(t, m, data, plans(t, layers)["pol above"], opt)
	var ends []report // of the phases; within one each report is of more work
	for i, r := range reports {
		if i == 0 || reports[i-1].phase != r.phase {
			ends = append(ends, r)
			continue
		}
		if before := reports[i-1]; r.done <= before.done || r.total != before.total {
			t.Errorf("%+v after %+v", r, before)
		}
		ends[len(ends)-1] = r
	}
	images := 3 * opt.Batch // of the steps of an epoch
	want := []report{{PhaseCache, 65, 65}, {"epoch 1 of 3", images, images}, {"epoch 2 of 3", images, images}, {"epoch 3 of 3", images, images}, {PhaseHoldout, 30, 30}}
	if !slices.Equal(ends, want) {
		t.Errorf("the phases end at %v, want %v", ends, want)
	}
}

// TestSharedWeight takes a weight of two layers once, from the lower neck.
func TestSharedWeight(t *testing.T) {
	m, layers, _ := newPerceptron(1)
	tied := diag.Layer{Name: "tied", Weights: []int{5, 1}, Neck: 1}
	g := newGroup(nntest.On(m), layers[2], diag.Layer{Name: "empty", Neck: 0}, tied)
	if !slices.Equal(g.weights, []int{1, 4, 5}) || g.neck != 1 || g.elements(nntest.On(m)) != 7+18+3 {
		t.Errorf("group %+v of %d elements", g, g.elements(nntest.On(m)))
	}
	if none := newGroup(nntest.On(m)); !none.empty() || none.neck != m.Necks()-1 {
		t.Errorf("no layers make the group %+v", none)
	}
}

// TestNoResultWithError lets the very last call fail.
func TestNoResultWithError(t *testing.T) {
	m, layers, data := newProblem()
	treat(t, m, data, plans(t, layers)["sgd"], smallOptions())
	last := len(m.calls)
	m.calls = nil
	m.hook = func(number int) error {
		if number == last {
			return errInjected
		}
		return nil
	}
	if r, err := Treat(t.Context(), nntest.On(m), data, plans(t, layers)["sgd"], smallOptions()); !errors.Is(err, errInjected) || r != nil {
		t.Errorf("a result: %v, error %v", r != nil, err)
	}
}
