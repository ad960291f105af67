package pol

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

func TestParseGoal(t *testing.T) {
	for _, name := range GoalNames() {
		if g, err := ParseGoal(name); err != nil || g.String() != name {
			t.Errorf("%s is read as %v (%v)", name, g, err)
		}
	}
	if _, err := ParseGoal("accuracy"); err == nil {
		t.Error("accuracy is read as a goal")
	}
}

// TestBetter: with the error as the goal the loss decides between equal errors only.
func TestBetter(t *testing.T) {
	low, high := metric.Figures{Loss: 2, Error: 0.3}, metric.Figures{Loss: 1, Error: 0.4}
	if LowerLoss.better(low, high) || !LowerLoss.better(high, low) || !LowerError.better(low, high) || LowerError.better(high, low) {
		t.Error("the figures do not go by the goal")
	}
	equal := metric.Figures{Loss: 1.9, Error: 0.3}
	if !LowerError.better(equal, low) || LowerError.better(low, equal) || LowerError.better(low, low) {
		t.Error("of two with equal errors the one with the lower loss is better")
	}
}

// TestBestEpochForError keeps the weights of the epoch with the lowest error, where
// that is another than the one with the lowest loss.
func TestBestEpochForError(t *testing.T) {
	_, layers, _ := newProblem()
	differ := 0
	for _, rate := range []float64{0.1, 0.5, 1} {
		m, _, data := newProblem()
		opt := smallOptions()
		opt.Goal, opt.Epochs, opt.Rate = LowerError, 8, rate
		r := treat(t, m, data, plans(t, layers)["sgd"], opt)
		kept := r.Epochs[r.Best-1].Validation
		for _, e := range r.Epochs {
			if e.Validation.Error < kept.Error || e.Validation.Error == kept.Error && e.Validation.Loss < kept.Loss {
				t.Errorf("rate %v: epoch %d is better than the one that was kept", rate, e.Number)
			}
			if e.Validation.Loss < kept.Loss {
				differ++
			}
		}
		for w, v := range r.Weights {
			m.Override(w, v)
		}
		e, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "error of the weights on V", e.Figures().Error, kept.Error, 0)
	}
	if differ == 0 {
		t.Error("the lowest error never has another epoch than the lowest loss: nothing is tested")
	}
}

// TestRefit: with the error as the goal the weights that are written are at the
// temperature that fits them best, and answers are as without.
func TestRefit(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	opt.Goal, opt.Classifier, opt.Temperature = LowerError, layers[2], 3
	given := treat(t, m, data, plan, opt)
	if given.Refitted != nil {
		t.Errorf("a given temperature is refitted by %v", *given.Refitted)
	}
	opt.Temperature = 0
	r := treat(t, m, data, plan, opt)
	if r.Refitted == nil || math.Abs(*r.Refitted-1) < 1e-4 {
		t.Fatal("not refitted: nothing is tested")
	}
	near(t, "temperature that fits the result", r.Own.Value, 1, 1e-5)
	near(t, "drop beyond the temperature", r.OwnBeyond.Mean, r.Beyond.Mean, 1e-5)
	compareWithEvaluate(t, m, data, r)
	opt.Goal = LowerLoss
	plain := treat(t, m, data, plan, opt)
	if plain.Refitted != nil || plain.Best != r.Best {
		t.Fatalf("refitted for the loss, or another epoch: %d, want %d", plain.Best, r.Best)
	}
	for _, w := range layers[2].Weights {
		for j, x := range plain.Weights[w] {
			near(t, "weight of the classifier", float64(r.Weights[w][j]), float64(x) / *r.Refitted, 1e-6)
		}
	}
	if !slices.Equal(r.Images.WrongAfter, plain.Images.WrongAfter) {
		t.Error("the temperature changes answers")
	}
	near(t, "loss at the best temperature", r.Own.Loss, plain.Own.Loss, 1e-5)
}

// TestObjectionsForError: each condition by itself refuses a treatment.
func TestObjectionsForError(t *testing.T) {
	good := func() *Result {
		gain, beyond, wrong := metric.NormalEstimate(0, 0.1), metric.NormalEstimate(-0.001, 0.005), metric.NormalEstimate(0.04, 0.01)
		return &Result{
			Goal: LowerError, Holdout: MinHoldout, Gain: &gain, OwnBeyond: &beyond, ErrorDrop: &wrong, Mended: 25, Spoiled: 5,
			Temperature: &Temperature{Value: 2, Drop: metric.NormalEstimate(0.28, 0.1)},
		}
	}
	estimate := func(e *metric.Estimate, mean, se float64) { *e = metric.NormalEstimate(mean, se) }
	for name, test := range map[string]struct {
		change func(r *Result)
		want   []Objection
	}{
		"accepted":               {func(*Result) {}, nil},
		"no temperature fits":    {func(r *Result) { r.OwnBeyond = nil }, nil},
		"one image too few":      {func(r *Result) { r.Holdout-- }, []Objection{TooFewImages}},
		"no treated model":       {func(r *Result) { r.ErrorDrop = nil }, []Objection{NoTreatedModel}},
		"five of five":           {func(r *Result) { r.Mended, r.Spoiled = 5, 0 }, []Objection{ErrorNotLower}}, // 3.1 %
		"six of six":             {func(r *Result) { r.Mended, r.Spoiled = 6, 0 }, nil},
		"no answer changes":      {func(r *Result) { r.Mended, r.Spoiled = 0, 0 }, []Objection{ErrorNotLower}},
		"more spoiled":           {func(r *Result) { r.Mended, r.Spoiled = 5, 25 }, []Objection{ErrorNotLower}},
		"loss higher":            {func(r *Result) { estimate(r.Gain, -0.2, 0.1) }, []Objection{LossHigher}},
		"loss perhaps higher":    {func(r *Result) { estimate(r.Gain, -0.19, 0.1) }, nil},
		"at temperatures higher": {func(r *Result) { estimate(r.OwnBeyond, -0.01, 0.005) }, []Objection{LossHigher}},
	} {
		r := good()
		test.change(r)
		if got := r.Objections(); !slices.Equal(got, test.want) || r.Accepted() != (len(test.want) == 0) {
			t.Errorf("%s: objections %v, want %v", name, got, test.want)
		}
	}
	if good().TemperatureAccepted() {
		t.Error("a temperature is offered, which changes no answer")
	}
}

// TestNullTreatmentsForError: treatments that change answers at random, few or many,
// are accepted in at most 2.5 %, which the normal distribution would not keep to.
func TestNullTreatmentsForError(t *testing.T) {
	const runs, n = 20_000, 2000
	for _, flips := range []int{4, 5, 8, 16, 60, 300} {
		random := rand.New(rand.NewPCG(4, uint64(flips)))
		accepted := 0
		for range runs {
			gain := metric.NormalEstimate(0, 1)
			r := &Result{Goal: LowerError, Holdout: n, Gain: &gain, ErrorDrop: &metric.Estimate{}}
			for range flips {
				if random.IntN(2) == 0 {
					r.Mended++
				} else {
					r.Spoiled++
				}
			}
			if r.Accepted() {
				accepted++
			}
		}
		share := float64(accepted) / runs
		t.Logf("%d answers change: %.2f %% accepted", flips, 100*share)
		if limit := oneSided + 3*math.Sqrt(oneSided/runs); share > limit {
			t.Errorf("%d answers change: %.2f %% are accepted", flips, 100*share)
		}
	}
}
