package pol

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestTemperature trains at the temperature that fits V, or at a given one, and
// folds it into the classifier.
func TestTemperature(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, given := range []float64{0, 3} {
			t.Run(fmt.Sprintf("%s at %v", name, given), func(t *testing.T) { checkTemperature(t, layers, plan, given) })
		}
	}
}

func checkTemperature(t *testing.T, layers []diag.Layer, plan Plan, given float64) {
	m, _, data := newProblem()
	opt := smallOptions()
	opt.Temperature, opt.Classifier = given, layers[2]
	var trained map[int][]float32
	opt.Save = func(s *State) error {
		trained = map[int][]float32{}
		for i, w := range newGroup(nntest.On(m), plan.Update...).weights {
			trained[w] = slices.Clone(s.best[i])
		}
		return nil
	}
	check := untouched(&m.weightTable)
	r := treat(t, m, data, plan, opt)
	check(t)
	before, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
	if err != nil {
		t.Fatal(err)
	}
	temperature, ok := before.Logits.FitTemperature()
	if !ok || temperature < 1.2 {
		t.Fatalf("temperature %v: this model should be over-confident", temperature)
	}
	near(t, "temperature", r.Temperature.Value, temperature, 1e-5)
	if want := cmp.Or(given, r.Temperature.Value); r.TrainedAt != want {
		t.Errorf("trained at %v, want %v", r.TrainedAt, want)
	}
	atOne, divided := 0, 0
	for _, c := range m.calls {
		switch {
		case c.kind == "gradients" && c.invT != 1/r.TrainedAt:
			t.Fatalf("a gradient is taken at temperature %v", 1/c.invT)
		case c.kind == "evaluate" && c.invT == 1:
			atOne += c.examples
		case c.kind == "evaluate":
			divided += c.examples
		}
	}
	// At temperature 1: V before and after, to fit it, and H likewise, as a file
	// with the scaled weights is used. And V once more by this test.
	if want := 3*data.Validation.Len() + 2*data.Holdout.Len(); atOne != want {
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
			if got, want := r.Weights[w][j], float32(float64(x)/r.TrainedAt); math.Abs(float64(got-want)) > 1e-6*math.Abs(float64(want)) {
				t.Fatalf("classifier's weight %d[%d] is %v, want %v", w, j, got, want)
			}
		}
	}
	// The validation loss of the best epoch at 1/T is that of the result at 1.
	for w, v := range r.Weights {
		m.Override(w, v)
	}
	after, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "validation loss of the result", metric.Mean(after.Losses), r.Epochs[r.Best-1].Validation.Loss, 1e-5)
}

// TestNoBestTemperature: where every answer on V is right the loss falls without
// end as the temperature does, and the training takes logits as they are.
func TestNoBestTemperature(t *testing.T) {
	m, layers, data := newProblem()
	e, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
	if err != nil {
		t.Fatal(err)
	}
	validation := data.Validation.(*samples)
	right := &samples{images: validation.images}
	for i := range validation.images {
		class, _ := metric.Predict(e.Logits.Row(i), 1)
		right.labels = append(right.labels, class)
	}
	data.Validation = right
	opt := smallOptions()
	opt.Temperature, opt.Classifier = 0, layers[2]
	r := treat(t, m, data, plans(t, layers)["pol above"], opt)
	if r.TrainedAt != 1 || r.Temperature.Value != metric.MinTemperature {
		t.Errorf("trained at %v, and %v fits best", r.TrainedAt, r.Temperature.Value)
	}
	opt.Temperature = 1
	if plain := treat(t, m, data, plans(t, layers)["pol above"], opt); !sameWeights(plain.Weights, r.Weights) {
		t.Error("not the weights of a training without a temperature")
	}
}

// TestRecipeTemperature trains nothing: what it does is what a temperature does.
func TestRecipeTemperature(t *testing.T) {
	m, layers, data := newProblem()
	data.Train = nil
	opt := DefaultOptions(recipe(t, RecipeTemperature))
	opt.Temperature, opt.Classifier = 0, layers[2]
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

// TestStored measures and returns the weights as the file will have them.
func TestStored(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	opt.Temperature, opt.Classifier = 0, layers[2]
	opt.Epochs = 1 // stored or not, it is the best
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
	if asked = slices.Compact(asked); !slices.Equal(asked, []int{2, 3, 4, 5}) {
		t.Errorf("weights %v were to be stored, want those that change", asked)
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
}

// TestUnstorable ends a training whose weights the file cannot hold, like one
// that diverges: with the best epoch until then.
func TestUnstorable(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	check := untouched(&m.weightTable)
	asked := 0 // once an epoch for each weight, then once more for the best's
	opt.Stored = func(w int, values []float32) ([]float32, error) {
		if asked++; asked == len(plan.Update[0].Weights)+1 {
			return nil, errInjected
		}
		return values, nil
	}
	opt.Epochs = 3
	if r := treat(t, m, data, plan, opt); len(r.Epochs) != 1 || r.Best != 1 || r.Weights == nil || !strings.HasPrefix(r.Stopped, "epoch 2: the weights cannot be stored") {
		t.Errorf("%d epochs, best %d, stopped: %q", len(r.Epochs), r.Best, r.Stopped)
	}
	check(t)
	opt.Stored = func(int, []float32) ([]float32, error) { return nil, errInjected }
	if r := treat(t, m, data, plan, opt); r.Weights != nil || r.Accepted() || r.Stopped == "" {
		t.Errorf("weights %v, stopped: %q", r.Weights, r.Stopped)
	}
	check(t)
}

// compareWithEvaluate evaluates H with the checkpoint and with a result's weights
// and compares all that the result says of it. It leaves the model as it was.
func compareWithEvaluate(t *testing.T, m *perceptron, data Data, r *Result) {
	t.Helper()
	evaluate := func() *Evaluation {
		e, err := Evaluate(t.Context(), nntest.On(m), data.Holdout, nil)
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
	near(t, "answers mended less those spoiled", float64(r.Mended-r.Spoiled), n*r.ErrorDrop.Mean, 1e-9)
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
	withOwn := after.Logits.Losses(1 / r.Own.Value)
	near(t, "loss with its own temperature", r.Own.Loss, metric.Mean(withOwn), tolerance)
	compare("drop with its own temperature", r.Own.Drop, func(i int) float64 { return before.Losses[i] - withOwn[i] })
	for i := range before.Losses {
		if im := r.Images; math.Abs(im.Before[i]-before.Losses[i]) > tolerance || math.Abs(im.After[i]-after.Losses[i]) > tolerance ||
			math.Abs(im.Own[i]-withOwn[i]) > tolerance || im.WrongBefore[i] != before.wrong()[i] || im.WrongAfter[i] != after.wrong()[i] {
			t.Fatalf("image %d has other figures", i)
		}
	}
	withTemperature := before.Logits.Losses(1 / r.Temperature.Value)
	compare("drop beyond the temperature", *r.Beyond, func(i int) float64 { return withTemperature[i] - after.Losses[i] })
	compare("drop with its own temperature beyond that", *r.OwnBeyond, func(i int) float64 { return withTemperature[i] - withOwn[i] })
	for i, loss := range r.Images.Temperature {
		near(t, "loss of an image with the temperature alone", loss, withTemperature[i], tolerance)
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

// TestObjections: each condition of acceptance by itself refuses a treatment.
func TestObjections(t *testing.T) {
	good := func() *Result {
		gain, beyond, wrong := metric.NormalEstimate(0.3, 0.1), metric.NormalEstimate(0.02, 0.005), metric.NormalEstimate(-0.01, 0.009)
		temperature := Temperature{Value: 2, Drop: metric.NormalEstimate(0.28, 0.1)}
		return &Result{Holdout: MinHoldout, Gain: &gain, Beyond: &beyond, ErrorDrop: &wrong, Temperature: &temperature}
	}
	estimate := func(e *metric.Estimate, mean, se float64) { *e = metric.NormalEstimate(mean, se) }
	for name, test := range map[string]struct {
		change func(r *Result)
		want   []Objection
	}{
		"accepted":                {func(*Result) {}, nil},
		"the temperature alone":   {func(r *Result) { r.Beyond = nil }, nil},
		"no temperature is best":  {func(r *Result) { r.Beyond, r.TrainedAt, r.Temperature.Value = nil, 1000, 1000 }, []Objection{NoTemperature}},
		"trained beside none":     {func(r *Result) { r.TrainedAt, r.Temperature.Value = 1, 1000 }, nil},
		"no temperature":          {func(r *Result) { r.Beyond, r.Temperature = nil, nil }, nil},
		"no treated model":        {func(r *Result) { r.Gain = nil }, []Objection{NoTreatedModel}},
		"not finite":              {func(r *Result) { estimate(r.Gain, math.NaN(), math.NaN()) }, []Objection{NoTreatedModel}},
		"one image too few":       {func(r *Result) { r.Holdout-- }, []Objection{TooFewImages}},
		"the same everywhere":     {func(r *Result) { estimate(r.Gain, 0.3, 0) }, []Objection{NoSpread}},
		"may be chance":           {func(r *Result) { estimate(r.Gain, 0.19, 0.1) }, []Objection{LossNotLower}},
		"just not chance":         {func(r *Result) { estimate(r.Gain, 0.197, 0.1) }, nil},
		"harm":                    {func(r *Result) { estimate(r.Gain, -0.3, 0.1) }, []Objection{LossNotLower}},
		"what a temperature does": {func(r *Result) { estimate(r.Beyond, 0.0097, 0.005) }, []Objection{NotBeyondTemperature}},
		"error higher":            {func(r *Result) { estimate(r.ErrorDrop, -0.02, 0.01) }, []Objection{ErrorHigher}},
		"error perhaps higher":    {func(r *Result) { estimate(r.ErrorDrop, -0.0195, 0.01) }, nil},
		"nothing changes":         {func(r *Result) { estimate(r.Gain, 0, 0); estimate(r.ErrorDrop, 0, 0) }, []Objection{NoSpread, LossNotLower}},
		"several":                 {func(r *Result) { estimate(r.Gain, 0, 1); estimate(r.ErrorDrop, -1, 0.1); r.Holdout = 2 }, []Objection{TooFewImages, LossNotLower, ErrorHigher}},
	} {
		r := good()
		test.change(r)
		if got := r.Objections(); !slices.Equal(got, test.want) || r.Accepted() != (len(test.want) == 0) {
			t.Errorf("%s: objections %v, want %v", name, got, test.want)
		}
	}
	for name, test := range map[string]struct {
		change func(r *Result)
		want   bool
	}{
		"accepted":      {func(*Result) {}, true},
		"none":          {func(r *Result) { r.Temperature = nil }, false},
		"none is best":  {func(r *Result) { r.Temperature.Value = 0.001 }, false},
		"too few":       {func(r *Result) { r.Holdout-- }, false},
		"may be chance": {func(r *Result) { estimate(&r.Temperature.Drop, 0.1, 0.1) }, false},
		"no spread":     {func(r *Result) { estimate(&r.Temperature.Drop, 0.1, 0) }, false},
	} {
		r := good()
		test.change(r)
		if r.TemperatureAccepted() != test.want {
			t.Errorf("temperature, %s: accepted %v", name, !test.want)
		}
	}
}
