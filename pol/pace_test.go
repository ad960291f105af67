package pol

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// sharp is newProblem with a classifier so large that the default rate of other
// models destroys it.
func sharp() (*perceptron, Data) {
	m, _, data := newProblem()
	for _, w := range []int{4, 5} {
		for i := range m.checkpoint[w] {
			m.checkpoint[w][i] *= 30
		}
	}
	return m, data
}

// TestAutomaticRate: where DefaultRate destroys a model, the rate that comes from it
// does not, whatever is perturbed and updated.
func TestAutomaticRate(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		m, data := sharp()
		before, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := metric.Mean(before.Losses)
		opt := smallOptions()
		opt.Rate = DefaultRate
		given := treat(t, m, data, plan, opt)
		if given.Pace != nil {
			t.Errorf("%s: a given rate has the pace %+v", name, given.Pace)
		}
		if name == "sgd" && !(given.Epochs[0].Validation.Loss > 1.5*start) {
			t.Fatalf("%s: validation loss %v after an epoch at the default rate, %v before: nothing is destroyed", name, given.Epochs[0].Validation.Loss, start)
		}
		opt.Rate = 0
		check := untouched(&m.weightTable)
		r := treat(t, m, data, plan, opt)
		check(t)
		if r.Pace == nil || !(r.Pace.First > 0) || !(r.Pace.Curvature > 0) || len(r.Epochs) != opt.Epochs {
			t.Fatalf("%s: %d epochs, pace %+v", name, len(r.Epochs), r.Pace)
		}
		for _, e := range r.Epochs {
			if !(e.Validation.Loss <= 1.02*start) {
				t.Errorf("%s: epoch %d has the validation loss %v at rate %v, %v before", name, e.Number, e.Validation.Loss, e.Rate, start)
			}
		}
	}
}

// TestRateFactor: the rate that the training begins with is so many times as large.
func TestRateFactor(t *testing.T) {
	_, layers, _ := newProblem()
	rate := func(factor float64) float64 {
		m, _, data := newProblem()
		opt := smallOptions()
		opt.Rate, opt.RateFactor = 0, factor
		return treat(t, m, data, plans(t, layers)["pol above"], opt).Pace.First
	}
	near(t, "three times the rate", rate(3), 3*rate(1), 1e-12)
}

// TestRateScales: with the classifier's weights multiplied by s and the logits divided
// by it nothing else changes, and the rate of the classifier is multiplied by s².
func TestRateScales(t *testing.T) {
	_, layers, _ := newProblem()
	rate := func(s float64) float64 {
		m, _, data := newProblem()
		for _, w := range []int{4, 5} {
			for i := range m.checkpoint[w] {
				m.checkpoint[w][i] *= float32(s)
			}
		}
		opt := smallOptions()
		opt.Rate, opt.Temperature, opt.Classifier = 0, s, layers[2]
		return treat(t, m, data, Plan{recipe(t, "sgd"), nil, layers[2:]}, opt).Pace.First
	}
	near(t, "rate of weights four times as large", rate(4), 16*rate(1), 1e-3*16*rate(1))
}

// openTrainer is a trainer that has yet to make its first step, and all of V.
func openTrainer(t *testing.T, m *perceptron, data Data, plan Plan, opt *Options) (*trainer, *sample) {
	t.Helper()
	s, err := openSets(nntest.On(m), data, opt, plan)
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := newTrainer(nntest.On(m), &data, plan, opt, s, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.fill(t.Context(), &progress{}); err != nil {
		t.Fatal(err)
	}
	trainer.parameters.install(trainer.parameters.weights)
	v := newSample(s.validation, 1, data.Validation.Len())
	return trainer, &v
}

// TestUndo begins with a rate that is far too high: steps are undone and the rate is
// halved until the training goes on.
func TestUndo(t *testing.T) {
	for _, first := range []float64{1e2, 1e5} {
		m, layers, data := newProblem()
		plan, opt := plans(t, layers)["pol above"], smallOptions()
		opt.Rate, opt.Batch = 0, 5
		trainer, _ := openTrainer(t, m, data, plan, &opt)
		before, err := trainer.validation.evaluate(t.Context(), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := metric.Mean(before.Losses)
		trainer.pacer = &pacer{start: start, Pace: Pace{First: first, Rate: first}}
		if trainer.pacer.previous, err = nn.NewVector(nntest.On(m), trainer.parameters.weights); err != nil {
			t.Fatal(err)
		}
		if err := trainer.run(t.Context(), &progress{}); err != nil {
			t.Fatalf("from rate %v: %v", first, err)
		}
		pace := trainer.pacer.Pace
		if pace.Undone == 0 || pace.Rate != first*math.Pow(0.5, float64(pace.Undone+pace.Restarted)) {
			t.Errorf("from rate %v: pace %+v", first, pace)
		}
		if !(pace.Limit >= paceFactor*start) {
			t.Errorf("from rate %v: a batch may have a loss of %v, and V has %v", first, pace.Limit, start)
		}
	}
}

// TestRestart: a training that only harms V makes its first epoch again, at half the
// rate each time, from the checkpoint.
func TestRestart(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["sgd"], smallOptions()
	data.Train = contrary(data.Train.(*samples), m.Classes())
	opt.Rate, opt.Temperature, opt.Classifier = 0, 0, layers[2]
	r := treat(t, m, data, plan, opt)
	if r.Pace.Restarted != maxRestarts || r.Pace.Rate != r.Pace.First/8 {
		t.Errorf("pace %+v", r.Pace)
	}
	var rates []float64
	for _, e := range r.Epochs {
		rates = append(rates, e.Rate)
	}
	if want := slices.Repeat([]float64{r.Pace.Rate}, opt.Epochs); !slices.Equal(rates, want) {
		t.Errorf("rates %v, want %v", rates, want)
	}
	// The last attempt is what a training with that rate from the beginning does.
	opt.Rate = r.Pace.Rate
	given := treat(t, m, data, plan, opt)
	if !sameWeights(r.Weights, given.Weights) {
		t.Error("other weights than of a training at the last rate")
	}
}
