package pol

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"modeldoctor/diag"
	"modeldoctor/graph"
	"modeldoctor/metric"
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
			e, err := Evaluate(t.Context(), m, data.Validation, nil)
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
	before, err := Evaluate(t.Context(), m, data.Validation, nil)
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
	opt := Options{Epochs: 2, Batch: 5, PerturbBatch: 4, Rate: 0.1, Schedule: Cosine, GammaMax: 2, PerturbEvery: 3}
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
	e, err := Evaluate(t.Context(), m, data.Holdout, nil)
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

func (m *stubborn) LossGradients(ctx context.Context, loss graph.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(int, []float32) error) error {
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
		m.flat = strings.HasPrefix(phase, "epoch") && done%2 == 1
	}
	opt.Save = func(s *State) error {
		// The model reads the head that is trained, and should read the
		// checkpoint's other weights.
		for w := range 4 {
			if p.override[w] != nil {
				t.Errorf("weight %d is displaced after epoch %d", w, s.Epochs())
			}
		}
		e, err := Evaluate(t.Context(), p, data.Validation, nil)
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

// TestDataErrors gives examples that do not suit.
func TestDataErrors(t *testing.T) {
	_, layers, _ := newProblem()
	plan := plans(t, layers)["pol above"]
	label := func(s *samples, l int) *samples {
		s = s.part(0, s.Len())
		s.labels = slices.Clone(s.labels)
		s.labels[3] = l
		return s
	}
	tests := map[string]struct {
		change func(d *Data)
		want   string
	}{
		"fewer images than a batch": {func(d *Data) { d.Train = d.Train.(*samples).part(0, 11) }, "11 training images"},
		"fewer images with views":   {func(d *Data) { d.Views = 4 }, "10 training images"},
		"no training images":        {func(d *Data) { d.Train = &samples{} }, "training set has no examples"},
		"no validation images":      {func(d *Data) { d.Validation = &samples{} }, "validation set has no examples"},
		"no hold-out images":        {func(d *Data) { d.Holdout = &samples{} }, "hold-out set has no examples"},
		"a label too high":          {func(d *Data) { d.Train = label(d.Train.(*samples), 3) }, "example 3 of the training set has label 3"},
		"a label below zero":        {func(d *Data) { d.Validation = label(d.Validation.(*samples), -1) }, "example 3 of the validation set has label -1"},
		"a label of another set":    {func(d *Data) { d.Holdout = label(d.Holdout.(*samples), 99) }, "example 3 of the hold-out set has label 99"},
	}
	for name, test := range tests {
		m, _, data := newProblem()
		test.change(&data)
		r, err := Treat(t.Context(), m, data, plan, smallOptions())
		var d *DataError
		if !errors.As(err, &d) || !strings.Contains(err.Error(), test.want) || d.Hint() == "" || r != nil {
			t.Errorf("%s: error %v, want a DataError with a hint, of %q", name, err, test.want)
		}
		if _, err := Estimate(t.Context(), m, data, plan, smallOptions()); !errors.As(err, &d) {
			t.Errorf("%s: Estimate's error is %v", name, err)
		}
		if len(m.calls) > 0 {
			t.Errorf("%s: the model has run", name)
		}
	}
}

// TestOneBatch trains where there are just as many images as a batch has, and
// drops what is left over of an epoch otherwise.
func TestOneBatch(t *testing.T) {
	m, layers, data := newProblem()
	for images, steps := range map[int]int{12: 1, 23: 1, 24: 2} {
		data.Train = data.Train.(*samples).part(0, images)
		if r := treat(t, m, data, plans(t, layers)["sgd"], smallOptions()); r.Epochs[0].Steps != steps {
			t.Errorf("%d images: %d steps an epoch, want %d", images, r.Epochs[0].Steps, steps)
		}
		_, _, data = newProblem()
	}
}

// TestPerturbBatchLargerThanT takes all of T then.
func TestPerturbBatchLargerThanT(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol below"], smallOptions()
	opt.PerturbBatch = 40
	want := treat(t, m, data, plan, opt)
	opt.PerturbBatch = 1000
	if got := treat(t, m, data, plan, opt); !sameWeights(got.Weights, want.Weights) {
		t.Error("a batch larger than T is not all of T")
	}
}

// TestSurrogateLoss uses a surrogate in the update's gradient and nowhere else.
func TestSurrogateLoss(t *testing.T) {
	smooth, err := graph.ParseLoss("smooth:0.3")
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
		examples := map[graph.Loss]int{}
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
		if want := (r.Steps - rejected) * opt.Batch; examples[smooth] != want || examples[graph.Loss{}] != perturbed {
			t.Errorf("%s: gradients of %d examples with the surrogate and %d with the cross-entropy, want %d and %d",
				name, examples[smooth], examples[graph.Loss{}], want, perturbed)
		}
	}
}

// TestCalibrated trains at the temperature that fits V, and folds it into the
// classifier.
func TestCalibrated(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		t.Run(name, func(t *testing.T) {
			m, _, data := newProblem()
			opt := smallOptions()
			opt.Calibrated, opt.Classifier = true, layers[2]
			var trained map[int][]float32
			opt.Save = func(s *State) error {
				trained = map[int][]float32{}
				for i, w := range newGroup(m, plan.Update...).weights {
					trained[w] = slices.Clone(s.best[i])
				}
				return nil
			}
			check := untouched(&m.weightTable)
			r := treat(t, m, data, plan, opt)
			check(t)
			before, err := Evaluate(t.Context(), m, data.Validation, nil)
			if err != nil {
				t.Fatal(err)
			}
			temperature, ok := before.Logits.FitTemperature()
			if !ok || temperature < 1.2 {
				t.Fatalf("temperature %v: this model should be over-confident", temperature)
			}
			near(t, "temperature", r.Temperature.Value, temperature, 1e-5)
			atOne, divided := 0, 0
			for _, c := range m.calls {
				switch {
				case c.kind == "gradients" && c.invT != 1/r.Temperature.Value:
					t.Fatalf("a gradient is taken at temperature %v", 1/c.invT)
				case c.kind == "evaluate" && c.invT == 1:
					atOne += c.examples
				case c.kind == "evaluate":
					divided += c.examples
				}
			}
			// At temperature 1: V once before, to fit it, and H before and after, as
			// a file with the scaled weights is used. And V once more by this test.
			if want := 2*data.Validation.Len() + 2*data.Holdout.Len(); atOne != want {
				t.Errorf("%d examples are evaluated at temperature 1, want %d", atOne, want)
			}
			if want := opt.Epochs*data.Validation.Len() + r.Scans.Evaluations*opt.PerturbBatch; divided != want {
				t.Errorf("%d examples are evaluated at the temperature, want %d", divided, want)
			}
			for _, w := range layers[2].Weights {
				source := m.checkpoint[w]
				if v, ok := trained[w]; ok {
					source = v
				}
				for j, x := range source {
					if got, want := r.Weights[w][j], float32(float64(x)/r.Temperature.Value); math.Abs(float64(got-want)) > 1e-6*math.Abs(float64(want)) {
						t.Fatalf("classifier's weight %d[%d] is %v, want %v", w, j, got, want)
					}
				}
			}
			// The validation loss of the best epoch at 1/T is that of the result at 1.
			for w, v := range r.Weights {
				m.Override(w, v)
			}
			after, err := Evaluate(t.Context(), m, data.Validation, nil)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "validation loss of the result", metric.Mean(after.Losses), r.Epochs[r.Best-1].Validation.Loss, 1e-5)
		})
	}
}

// TestRecipeTemperature trains nothing: what it does is what a temperature does.
func TestRecipeTemperature(t *testing.T) {
	m, layers, data := newProblem()
	data.Train = nil
	opt := DefaultOptions(recipe(t, RecipeTemperature))
	opt.Calibrated, opt.Classifier = true, layers[2]
	var phases []string
	opt.Progress = func(phase string, done, total int) {
		if !slices.Contains(phases, phase) {
			phases = append(phases, phase)
		}
		if done > total {
			t.Errorf("%s: %d of %d", phase, done, total)
		}
	}
	check := untouched(&m.weightTable)
	r := treat(t, m, data, Plan{Recipe: recipe(t, RecipeTemperature)}, opt)
	check(t)
	if r.After == nil || r.Gain == nil || len(r.Epochs) != 0 || r.Best != 0 || r.Trained != 0 || r.Stopped != "" {
		t.Fatalf("result %+v", r)
	}
	near(t, "loss", r.After.Loss, r.Temperature.Loss, 1e-6)
	near(t, "gain", r.Gain.Mean, r.Temperature.Drop.Mean, 1e-6)
	near(t, "its standard error", r.Gain.SE, r.Temperature.Drop.SE, 1e-6)
	near(t, "error", r.After.Error, r.Before.Error, 0)
	if len(r.Weights) != 2 || r.ErrorDrop.Mean != 0 {
		t.Errorf("%d weights change, and the error by %v", len(r.Weights), r.ErrorDrop.Mean)
	}
	if !slices.Equal(phases, []string{PhaseCache, PhaseHoldout}) {
		t.Errorf("phases %q", phases)
	}
}

// TestProgress counts all work of each phase once, and the steps of all epochs
// in one count.
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
	want := []report{{PhaseCache, 65, 65}, {"epoch 1 of 3", 3, 9}, {"epoch 2 of 3", 6, 9}, {"epoch 3 of 3", 9, 9}, {PhaseHoldout, 30, 30}}
	if !slices.Equal(ends, want) {
		t.Errorf("the phases end at %v, want %v", ends, want)
	}
}

// TestStored measures and returns the weights as the file will have them.
func TestStored(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	opt.Calibrated, opt.Classifier = true, layers[2]
	exact := treat(t, m, data, plan, opt)
	coarse := func(values []float32) []float32 {
		rounded := make([]float32, len(values))
		for i, x := range values {
			rounded[i] = float32(math.Round(float64(x)*4) / 4)
		}
		return rounded
	}
	var asked []int
	opt.Stored = func(w int, values []float32) ([]float32, error) {
		asked = append(asked, w)
		return coarse(values), nil
	}
	r := treat(t, m, data, plan, opt)
	slices.Sort(asked)
	if !slices.Equal(asked, []int{2, 3, 4, 5}) {
		t.Errorf("weights %v were to be stored, want each once that changes", asked)
	}
	for w, v := range exact.Weights {
		if !slices.Equal(r.Weights[w], coarse(v)) {
			t.Errorf("weight %d is not as it is stored", w)
		}
	}
	compareWithEvaluate(t, m, data, r)
	if math.Abs(r.After.Loss-exact.After.Loss) < 1e-3 {
		t.Error("rounding makes no difference")
	}

	check := untouched(&m.weightTable)
	opt.Stored = func(int, []float32) ([]float32, error) { return nil, errInjected }
	expectFailure(t.Context(), t, m, data, plan, opt, errInjected)
	check(t)
}

// compareWithEvaluate evaluates H with the checkpoint and with a result's weights
// and compares all that the result says of it. It leaves the model as it was.
func compareWithEvaluate(t *testing.T, m *perceptron, data Data, r *Result) {
	t.Helper()
	evaluate := func() *Evaluation {
		e, err := Evaluate(t.Context(), m, data.Holdout, nil)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	before := evaluate()
	for w, v := range r.Weights {
		m.Override(w, v)
	}
	after := evaluate()
	for w := range r.Weights {
		m.Override(w, nil)
	}
	n := float64(data.Holdout.Len())
	// Activations are rounded at the neck here and not there.
	const tolerance = 1e-6
	compare := func(what string, got metric.Estimate, drop func(i int) float64) {
		t.Helper()
		mean, squares := 0.0, 0.0
		for i := range before.Losses {
			mean += drop(i) / n
		}
		for i := range before.Losses {
			squares += (drop(i) - mean) * (drop(i) - mean)
		}
		se := math.Sqrt(squares / (n - 1) / n)
		near(t, what, got.Mean, mean, tolerance)
		near(t, what+", standard error", got.SE, se, tolerance)
		near(t, what+", low", got.CI95[0], mean-1.959964*se, tolerance)
		near(t, what+", high", got.CI95[1], mean+1.959964*se, tolerance)
	}
	compare("gain", *r.Gain, func(i int) float64 { return before.Losses[i] - after.Losses[i] })
	compare("drop of the error", *r.ErrorDrop, func(i int) float64 {
		wrong := func(e *Evaluation) float64 {
			if row := e.Logits.Row(i); slices.Index(row, slices.Max(row)) != data.Holdout.Label(i) {
				return 1
			}
			return 0
		}
		return wrong(before) - wrong(after)
	})
	compare("drop by temperature", r.Temperature.Drop, func(i int) float64 {
		return before.Losses[i] - before.Logits.Losses(1 / r.Temperature.Value)[i]
	})
	for _, f := range []struct {
		what      string
		got, want metric.Figures
	}{{"before", r.Before, before.Figures()}, {"after", *r.After, after.Figures()}} {
		near(t, "loss "+f.what, f.got.Loss, f.want.Loss, tolerance)
		near(t, "error "+f.what, f.got.Error, f.want.Error, 0)
		near(t, "ECE "+f.what, f.got.ECE, f.want.ECE, tolerance)
	}
	if r.Accepted() != (r.Gain.CI95[0] > 0) {
		t.Errorf("accepted %v with %v", r.Accepted(), r.Gain.CI95)
	}
}

// TestGain compares what a result says of H with an evaluation of it, with and
// without a cache.
func TestGain(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, noCache := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, NoCache %v", name, noCache), func(t *testing.T) {
				m, _, data := newProblem()
				opt := smallOptions()
				opt.NoCache = noCache
				r := treat(t, m, data, plan, opt)
				compareWithEvaluate(t, m, data, r)
			})
		}
	}
}

func TestAccepted(t *testing.T) {
	for low, want := range map[float64]bool{0.001: true, 0: false, -0.001: false, math.NaN(): false} {
		if r := (&Result{Gain: &metric.Estimate{Mean: 1, CI95: [2]float64{low, 2}}}); r.Accepted() != want {
			t.Errorf("low end %v: accepted %v", low, !want)
		}
	}
	if (&Result{}).Accepted() {
		t.Error("accepted without a gain")
	}
}

// TestStreamsAreIndependent: what an update sees does not depend on how many
// numbers perturbations take.
func TestStreamsAreIndependent(t *testing.T) {
	const images, views, size = 40, 3, 12
	one, other := newDraws(7, 2, images, views), newDraws(7, 2, images, views)
	for step := range images / size {
		one.perturbBatch(9)
		other.perturbBatch(31)
		other.perturbBatch(4)
		one.gamma.Float64()
		if !slices.Equal(one.updateBatch(step, size), other.updateBatch(step, size)) {
			t.Fatalf("step %d: the update's batch depends on the perturbation's", step)
		}
	}
	if one, other := newDraws(7, 2, images, views), newDraws(7, 2, images, views); one.gamma.Float64() != other.gamma.Float64() {
		t.Error("gamma depends on more than the seed and the epoch")
	}
	// Seed and epoch both matter, and are not one number.
	order := newDraws(7, 2, images, views).order
	for _, different := range []*draws{newDraws(8, 2, images, views), newDraws(7, 3, images, views), newDraws(2, 7, images, views)} {
		if slices.Equal(order, different.order) {
			t.Error("another seed or epoch draws the same")
		}
	}
	// No two streams of any epochs are the same.
	seen := map[uint64]bool{}
	for epoch := range 10 {
		d := newDraws(7, epoch, images, views)
		for _, stream := range []*rand.Rand{d.update, d.perturb, d.gamma} {
			x := stream.Uint64()
			if seen[x] {
				t.Errorf("epoch %d repeats a stream", epoch)
			}
			seen[x] = true
		}
	}
	// The perturbation's examples are not the update's.
	d := newDraws(7, 2, images, 1)
	if slices.Equal(d.perturbBatch(size), d.updateBatch(0, size)) {
		t.Error("the perturbation is drawn like the update")
	}
}

// TestDraws: an epoch takes each image at most once, in a random order; a
// perturbation takes any image at most once; views are drawn at random and
// belong to their image.
func TestDraws(t *testing.T) {
	const images, views, size = 20, 3, 6
	updated, perturbed := make([]int, images*views), make([]int, images*views)
	const epochs = 200
	for epoch := range epochs {
		d := newDraws(1, epoch, images, views)
		var seen []int
		for step := range images / size {
			batch := d.updateBatch(step, size)
			for _, entry := range batch {
				updated[entry]++
				seen = append(seen, entry/views)
			}
			batch = d.perturbBatch(size)
			var drawn []int
			for _, entry := range batch {
				perturbed[entry]++
				drawn = append(drawn, entry/views)
			}
			if slices.Sort(drawn); len(slices.Compact(drawn)) != size {
				t.Fatalf("epoch %d: a perturbation of images %v", epoch, drawn)
			}
		}
		if slices.Sort(seen); len(slices.Compact(seen)) != images/size*size {
			t.Fatalf("epoch %d: updates by images %v", epoch, seen)
		}
	}
	// Each of 60 entries is drawn 3600/60 = 60 times on average, √60 its standard
	// deviation: five of them are allowed.
	for entry := range updated {
		near(t, fmt.Sprintf("updates by entry %d", entry), float64(updated[entry]), 60, 39)
		near(t, fmt.Sprintf("perturbations by entry %d", entry), float64(perturbed[entry]), 60, 39)
	}
	if all := newDraws(1, 0, images, 1).perturbBatch(images); len(all) != images {
		t.Errorf("a perturbation of all images has %d", len(all))
	}
}

// TestViews trains on entries that all belong to complete images: the entry of
// an image that has not all its views is never read.
func TestViews(t *testing.T) {
	m, layers, data := newProblem()
	data.Views = 3 // 40 entries: 13 images and a rest
	opt := smallOptions()
	opt.NoCache, opt.Epochs = true, 20
	read := map[int]int{}
	data.Train = &observed{data.Train.(*samples), func(i int) { read[i]++ }}
	treat(t, m, data, plans(t, layers)["pol below"], opt)
	if read[39] > 0 || len(read) != 39 {
		t.Errorf("%d entries were read, the one of no image %d times", len(read), read[39])
	}
}

// observed tells of each example that is read.
type observed struct {
	*samples
	tell func(i int)
}

func (o *observed) Read(i int, dst []float32) error {
	o.tell(i)
	return o.samples.Read(i, dst)
}

// TestPerturbEvery scans at the first of every K steps of an epoch, and at the
// first of each epoch.
func TestPerturbEvery(t *testing.T) {
	_, layers, _ := newProblem()
	for every, want := range map[int]int{1: 15, 2: 9, 3: 6, 4: 6, 5: 3, 100: 3} {
		m, _, data := newProblem()
		opt := smallOptions()
		opt.Batch, opt.PerturbEvery = 8, every // 3 epochs of 5 steps
		scans, rejected, scanning := 0, 0, false
		plan := plans(t, layers)["pol below"]
		r := treat(t, m, data, plan, opt)
		for _, c := range m.calls {
			// The scans are the only evaluations of a model that is differentiated
			// before and after, of 7 + 7 + 3 examples at the neck of P.
			switch {
			case c.kind == "gradients":
				scanning = false
			case c.kind == "evaluate" && !scanning && c.examples == 7:
				scans, scanning = scans+1, true
			}
		}
		for _, e := range r.Epochs {
			rejected += e.Rejected
		}
		// Evaluations of V and H look alike: V before, 3 times V and H.
		if scans -= 1 + 3; rejected > 0 || scans != want {
			t.Errorf("every %d: %d scans, want %d; %d steps rejected", every, scans, want, rejected)
		}
	}
}

// TestPassesBelow counts the passes through the stages below P and U: with a
// cache none from the images after it is filled, and below P one for each
// example of a step.
func TestPassesBelow(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, noCache := range []bool{false, true} {
			m, _, data := newProblem()
			opt := smallOptions()
			opt.NoCache = noCache
			r := treat(t, m, data, plan, opt)
			p, u := newGroup(m, plan.Perturb...).neck, newGroup(m, plan.Update...).neck
			neck := u
			if plan.Recipe.Rule != Unperturbed {
				neck = min(p, u)
			}
			examples := map[[2]int]int{}
			for _, c := range m.calls {
				if c.kind == "advance" {
					examples[[2]int{c.from, c.to}] += c.examples
				}
				if c.kind != "advance" && c.from < neck {
					t.Fatalf("%s: %s from neck %d, below all that changes", name, c.kind, c.from)
				}
			}
			want := map[[2]int]int{}
			if neck > 0 {
				want[[2]int{0, neck}] = data.Validation.Len() + data.Holdout.Len()
				if noCache {
					want[[2]int{0, neck}] += opt.Epochs*data.Validation.Len() + r.Steps*(opt.Batch+opt.PerturbBatch)
				} else {
					want[[2]int{0, neck}] += data.Train.Len()
				}
			}
			if p > neck && p < m.Necks()-1 {
				want[[2]int{neck, p}] = r.Steps * opt.PerturbBatch
			}
			if u > neck {
				want[[2]int{neck, u}] = r.Steps * opt.Batch
			}
			if fmt.Sprint(examples) != fmt.Sprint(want) {
				t.Errorf("%s, NoCache %v: examples brought from neck to neck: %v, want %v", name, noCache, examples, want)
			}
			if wantBytes := int64(0); noCache && r.Cache.Bytes != wantBytes ||
				!noCache && r.Cache.Bytes != int64(4*m.NeckElements(neck)*(data.Train.Len()+data.Validation.Len())) {
				t.Errorf("%s, NoCache %v: the cache has %d bytes", name, noCache, r.Cache.Bytes)
			}
			if r.Cache.Neck != neck || r.Cache.InFile {
				t.Errorf("%s: cache %+v, want neck %d", name, r.Cache, neck)
			}
		}
	}
}

// TestMemory takes a file for what does not fit, and leaves none behind.
func TestMemory(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	want := treat(t, m, data, plan, opt) // 40 and 25 examples of 7 numbers
	for _, test := range []struct {
		memory int64
		inFile bool
	}{{0, false}, {65*7*4 + 1, false}, {65 * 7 * 4, true}, {30 * 7 * 4, true}, {1, true}} {
		opt.Memory, opt.TempDir = test.memory, t.TempDir()
		r := treat(t, m, data, plan, opt)
		if r.Cache.InFile != test.inFile || r.Cache.Bytes != 65*7*4 || !sameWeights(r.Weights, want.Weights) {
			t.Errorf("with %d bytes: cache %+v, or other weights", test.memory, r.Cache)
		}
		expectEmpty(t, opt.TempDir)
		expectClosed(t, opt.TempDir)
	}
	opt.TempDir += "/missing"
	check := untouched(&m.weightTable)
	if _, err := Treat(t.Context(), m, data, plan, opt); err == nil || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("error %v with a folder that is missing", err)
	}
	check(t)
}

// expectClosed fails if a file of a folder is open, where the system can tell.
func expectClosed(t *testing.T, folder string) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if file, err := os.Readlink(fd); err == nil && strings.HasPrefix(file, folder) {
			t.Errorf("%s is still open", file)
		}
	}
}

// TestEstimate measures a step, and leaves everything as it was.
func TestEstimate(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, noCache := range []bool{false, true} {
			m, _, data := newProblem()
			opt := smallOptions()
			opt.NoCache, opt.Memory, opt.TempDir = noCache, 1, t.TempDir()
			check := untouched(&m.weightTable)
			cost, err := Estimate(t.Context(), m, data, plan, opt)
			if err != nil {
				t.Fatal(err)
			}
			check(t)
			expectEmpty(t, opt.TempDir)
			m.calls = nil
			r := treat(t, m, data, plan, opt)
			if cost.Neck != r.Cache.Neck || cost.CacheBytes != r.Cache.Bytes || cost.CacheInFile != r.Cache.InFile || cost.Steps != r.Steps {
				t.Errorf("%s, NoCache %v: %+v, was %+v in %d steps", name, noCache, cost, r.Cache, r.Steps)
			}
			if cost.StepTime <= 0 || cost.ValidationTime <= 0 || cost.HoldoutTime <= 0 || noCache != (cost.CacheTime == 0) {
				t.Errorf("%s, NoCache %v: %+v", name, noCache, cost)
			}
			if search := plan.Recipe.Rule == Search; cost.ScanShare < 0 || cost.ScanShare > 1 || search != (cost.ScanShare > 0) {
				t.Errorf("%s: a share of %v for the scan", name, cost.ScanShare)
			}
			if total := cost.Total(opt.Epochs); total < cost.CacheTime+9*cost.StepTime+3*cost.ValidationTime+cost.HoldoutTime {
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
	if _, err := Estimate(t.Context(), m, data, plan, smallOptions()); err != nil {
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
		if _, err := Estimate(t.Context(), m, data, plan, smallOptions()); !errors.Is(err, errInjected) {
			t.Errorf("call %d failed: error %v", n, err)
		}
		check(t)
	}
}

// TestChoose resolves every choice.
func TestChoose(t *testing.T) {
	_, layers, _ := newPerceptron(1)
	number := func(x float64) *float64 { return &x }
	transfer := func(mean, low float64) *diag.Transfer {
		return &diag.Transfer{DeltaLoss: mean, CI95: [2]float64{low, mean + (mean - low)}}
	}
	report := &diag.Report{Layers: []diag.LayerResult{
		{Name: "low", Kappa: number(0.5), Transfer: transfer(0.1, 0.01)},
		{Name: "middle", Kappa: number(0.7), Transfer: transfer(0.2, 0.02)},
		{Name: "head", Kappa: number(0.7), Transfer: transfer(0.9, -0.1)}, // largest, but not for sure
	}}
	flat := &diag.Report{Layers: []diag.LayerResult{
		{Name: "low", Transfer: transfer(0.1, 0)}, {Name: "middle", Transfer: transfer(-0.1, -0.2)}, {Name: "head"},
	}}
	other := &diag.Report{Layers: []diag.LayerResult{{Name: "elsewhere", Kappa: number(1), Transfer: transfer(1, 0.5)}}}
	tests := []struct {
		choice Choice
		report *diag.Report
		want   []string // nil: an error, or nothing
	}{
		{NoLayers, nil, []string{}},
		{AllLayers, nil, []string{"low", "middle", "head"}},
		{HeadLayer, nil, []string{"head"}},
		{AllButHead, nil, []string{"low", "middle"}},
		{LargestKappa, report, []string{"middle"}}, // the first among equals
		{LargestTransfer, report, []string{"middle"}},
		{LargestKappa, flat, nil},
		{LargestTransfer, flat, nil},
		{LargestKappa, other, nil},
		{LargestTransfer, other, nil},
	}
	for _, test := range tests {
		chosen, err := test.choice.Choose(layers, test.report)
		if test.want == nil {
			if nothing := errors.Is(err, ErrNothingToTreat); err == nil || nothing != (test.choice == LargestTransfer) || chosen != nil {
				t.Errorf("choice %d: %v, error %v", test.choice, Names(chosen), err)
			}
			continue
		}
		if err != nil || !slices.Equal(Names(chosen), test.want) {
			t.Errorf("choice %d: %v, error %v, want %v", test.choice, Names(chosen), err, test.want)
		}
		if test.choice.NeedsDiagnosis() != (test.report != nil) {
			t.Errorf("choice %d needs a diagnosis: %v", test.choice, test.choice.NeedsDiagnosis())
		}
	}
	// The caller's layers are not shared.
	chosen, _ := AllLayers.Choose(layers, nil)
	chosen[0].Name = "renamed"
	if layers[0].Name != "low" {
		t.Error("a choice shares the caller's layers")
	}
}

// TestSharedWeight takes a weight of two layers once, from the lower neck.
func TestSharedWeight(t *testing.T) {
	m, layers, _ := newPerceptron(1)
	tied := diag.Layer{Name: "tied", Weights: []int{5, 1}, Neck: 1}
	g := newGroup(m, layers[2], diag.Layer{Name: "empty", Neck: 0}, tied)
	if !slices.Equal(g.weights, []int{1, 4, 5}) || g.neck != 1 || g.elements(m) != 7+18+3 {
		t.Errorf("group %+v of %d elements", g, g.elements(m))
	}
	if none := newGroup(m); !none.empty() || none.neck != m.Necks()-1 {
		t.Errorf("no layers make the group %+v", none)
	}
}

func TestFindRecipe(t *testing.T) {
	for _, r := range Recipes() {
		found, err := FindRecipe(r.Name)
		if err != nil || found != r {
			t.Errorf("%s: %+v, error %v", r.Name, found, err)
		}
	}
	if _, err := FindRecipe("pola"); err == nil || !strings.Contains(err.Error(), "sgd, sam, pof, pol, temperature") {
		t.Errorf("error %v does not name the recipes", err)
	}
}

func TestDescribe(t *testing.T) {
	_, layers, _ := newPerceptron(1)
	for want, plan := range map[string]Plan{
		"perturb low, update middle, head":         {Perturb: layers[:1], Update: layers[1:]},
		"update low to middle":                     {Update: append(slices.Clone(layers), layers[1])},
		"no layer is trained":                      {},
		"perturb low, middle, head, update middle": {Perturb: layers, Update: layers[1:2]},
	} {
		if got := plan.Describe(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
