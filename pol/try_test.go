package pol

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// searchOptions suit the sets of newProblem, at a temperature.
func searchOptions(layers []diag.Layer) Options {
	opt := smallOptions()
	opt.Temperature, opt.Classifier = 0, layers[2]
	return opt
}

// TestTryIsTreat: a trial is what Treat makes of the same plan, seen on V alone, whatever
// its neck and wherever activations are kept, and no hold-out image is read.
func TestTryIsTreat(t *testing.T) {
	_, layers, _ := newProblem()
	low, middle, head := layers[:1], layers[1:2], layers[2:]
	pol := recipe(t, "pol")
	plans := []Plan{{pol, head, head}, {pol, head, middle}, {pol, low, head}, {pol, middle, middle}}
	for name, change := range map[string]func(*Options){
		"kept": func(*Options) {}, "not kept": func(o *Options) { o.NoCache = true }, "in a file": func(o *Options) { o.Memory = 1 },
		"rate from the model": func(o *Options) { o.Rate = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			opt := searchOptions(layers)
			change(&opt)
			opt.TempDir = t.TempDir()
			m, _, data := newProblem()
			check := untouched(&m.weightTable)
			unseen := data.Holdout.(*samples)
			got := make([]Trial, len(plans))
			var order []int
			begin := func(i int) { order = append(order, i) }
			if err := Try(t.Context(), nntest.On(m), data, plans, opt, Tryout{begin, func(i int, r Trial) error { got[i] = r; return nil }}); err != nil {
				t.Fatal(err)
			}
			check(t)
			expectEmpty(t, opt.TempDir)
			if unseen.reads > 0 {
				t.Errorf("%d hold-out images were read", unseen.reads)
			}
			if want := []int{2, 1, 3, 0}; !reflect.DeepEqual(order, want) {
				t.Errorf("plans were tried in the order %v, want %v", order, want)
			}
			for i, plan := range plans {
				m, _, data := newProblem()
				r := treat(t, m, data, plan, opt)
				for w, v := range r.Weights {
					m.Override(w, v)
				}
				e, err := Evaluate(t.Context(), nntest.On(m), data.Validation, nil)
				if err != nil {
					t.Fatal(err)
				}
				own := *fitTemperature(e)
				losses := e.Logits.Losses(1 / own)
				// This model rounds to float32 at the necks that it is run from alone.
				near(t, fmt.Sprint("loss of plan ", i), *got[i].Loss, metric.Mean(losses), 1e-6)
				near(t, fmt.Sprint("temperature of plan ", i), *got[i].Temperature, own, 1e-6)
				near(t, fmt.Sprint("error of plan ", i), got[i].Error, e.Figures().Error, 0)
				if got[i].Best != r.Best || got[i].Steps != r.Steps || got[i].StepTime <= 0 || got[i].Neck != r.Cache.Neck {
					t.Errorf("plan %d: %+v", i, got[i])
				}
				m2, _, _ := newProblem()
				before, err := Evaluate(t.Context(), nntest.On(m2), data.Validation, nil)
				if err != nil {
					t.Fatal(err)
				}
				alone := metric.Mean(before.Logits.Losses(1 / *fitTemperature(before)))
				near(t, "drop", got[i].Drop.Mean, alone-*got[i].Loss, 1e-6)
			}
		})
	}
}

// TestTrySharesThePrefix: every image of T and V goes through a stage below the plans'
// layers once, however many plans there are.
func TestTrySharesThePrefix(t *testing.T) {
	m, layers, data := newProblem()
	pol := recipe(t, "pol")
	plans := []Plan{{pol, layers[2:], layers[2:]}, {pol, layers[2:], layers[1:2]}, {pol, layers[1:2], layers[1:2]}, {pol, layers[2:], layers[2:]}}
	opt := searchOptions(layers)
	opt.Epochs = 1
	if err := Try(t.Context(), nntest.On(m), data, plans, opt, Tryout{func(int) {}, func(int, Trial) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	lowest := 0
	for _, c := range m.calls {
		if c.kind == "advance" && c.from == 0 {
			lowest += c.examples
		}
		if c.kind != "advance" && c.from == 0 {
			t.Errorf("%+v begins at the images", c)
		}
	}
	if want := data.Train.Len() + data.Validation.Len(); lowest != want {
		t.Errorf("%d images went through the lowest stage, want %d", lowest, want)
	}
}

// TestTryDiverges: what diverges has no loss, and the plans after it are tried as if
// it had not been there.
func TestTryDiverges(t *testing.T) {
	m, layers, data := newProblem()
	opt := searchOptions(layers)
	opt.Rate = 1e38
	check := untouched(&m.weightTable)
	var got []Trial
	plans := []Plan{plans(t, layers)["pol above"], plans(t, layers)["pol above"]}
	if err := Try(t.Context(), nntest.On(m), data, plans, opt, Tryout{func(int) {}, func(_ int, r Trial) error { got = append(got, r); return nil }}); err != nil {
		t.Fatal(err)
	}
	check(t)
	if len(got) != 2 || got[0].Loss != nil || got[0].Stopped == "" || got[0].Drop != nil || got[0].Stopped != got[1].Stopped {
		t.Errorf("%+v", got)
	}
}

// TestTryFails: errors of the model and of the caller come back, and the model has its
// weights again.
func TestTryFails(t *testing.T) {
	m, layers, data := newProblem()
	check := untouched(&m.weightTable)
	plan := plans(t, layers)["pol above"]
	opt := searchOptions(layers)
	if err := Try(t.Context(), nntest.On(m), data, []Plan{plan, plan}, opt, Tryout{func(int) {}, func(int, Trial) error { return errInjected }}); !errors.Is(err, errInjected) {
		t.Errorf("error %v of the caller", err)
	}
	for at := 1; at < 200; at += 13 {
		m.calls = nil
		m.hook = func(number int) error {
			if number == at {
				return errInjected
			}
			return nil
		}
		if err := Try(t.Context(), nntest.On(m), data, []Plan{plan}, opt, Tryout{func(int) {}, func(int, Trial) error { return nil }}); len(m.calls) >= at && !errors.Is(err, errInjected) {
			t.Errorf("call %d: error %v", at, err)
		}
	}
	check(t)
}
