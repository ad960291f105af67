package pol_test

import (
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/pol"
)

// sameBits compares weights bit for bit.
func sameBits(a, b map[int][]float32) bool {
	if len(a) != len(b) {
		return false
	}
	for w, v := range a {
		other, ok := b[w]
		if !ok || len(v) != len(other) {
			return false
		}
		for i, x := range v {
			if math.Float32bits(x) != math.Float32bits(other[i]) {
				return false
			}
		}
	}
	return true
}

// TestSameBits treats the fixture on a few images: the weights depend on the seed
// and not on the threads, nor on where activations are kept, if they are.
func TestSameBits(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		one, two := openFixture(t, graph.RunnerOptions{Threads: 1, Device: on.Device}), openFixture(t, graph.RunnerOptions{Threads: 2, Device: on.Device})
		data := one.sample(t, 40, 18, 18)
		for _, test := range []struct{ recipe, perturb, update string }{
			{"sgd", "", ""},
			{"sam", "", ""},
			{"pof", "", ""},
			{"pol", "head", "blocks.5"},
			{"pol", "blocks.4", "head"},
		} {
			name := test.recipe
			if test.perturb != "" {
				name += " " + test.perturb + " " + test.update
			}
			t.Run(name, func(t *testing.T) {
				treat := func(f *fixtureModel, change func(*pol.Options)) *pol.Result {
					t.Helper()
					opt := pol.Options{
						Epochs: 1, Batch: 20, PerturbBatch: 25, Rate: 0.01, Momentum: 0.9, WeightDecay: 5e-4,
						Schedule: pol.Cosine, GammaMax: 2, Rho: 0.05, PerturbEvery: 1, Seed: 1, Temperature: 1,
					}
					change(&opt)
					r, err := pol.Treat(t.Context(), f, data, f.plan(t, test.recipe, test.perturb, test.update), opt)
					if err != nil {
						t.Fatal(err)
					}
					if r.Stopped != "" || r.Weights == nil || r.Epochs[0].Rejected > 0 {
						t.Fatalf("stopped: %q, epochs %+v", r.Stopped, r.Epochs)
					}
					return r
				}
				want := treat(one, func(*pol.Options) {})
				for w, v := range want.Weights {
					if sameBits(map[int][]float32{w: v}, map[int][]float32{w: one.Weight(w)}) {
						t.Errorf("weight %d has not changed", w)
					}
				}
				for what, change := range map[string]func(*pol.Options){
					"two threads": func(*pol.Options) {},
					"no cache":    func(o *pol.Options) { o.NoCache = true },
					"a file":      func(o *pol.Options) { o.Memory = 1 },
				} {
					folder := t.TempDir()
					r := treat(two, func(o *pol.Options) {
						o.TempDir = folder
						change(o)
					})
					if !sameBits(r.Weights, want.Weights) {
						t.Errorf("%s: other weights", what)
					}
					if *r.Gain != *want.Gain || *r.After != *want.After {
						t.Errorf("%s: gain %+v, want %+v", what, r.Gain, want.Gain)
					}
					if (r.Cache.Place == nn.InFile) != (what == "a file") {
						t.Errorf("%s: cache %+v", what, r.Cache)
					}
					if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
						t.Errorf("%s: files %v are left, error %v", what, left, err)
					}
				}
				if r := treat(two, func(o *pol.Options) { o.Seed = 2 }); sameBits(r.Weights, want.Weights) {
					t.Error("another seed gives the same weights")
				}
			})
		}
	})
}

// TestTrialsAreTreatments tries layers of the fixture one after the other, on activations
// that are raised from neck to neck: each trial has the bits of a treatment by itself,
// on V alone.
func TestTrialsAreTreatments(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		f := openFixture(t, graph.RunnerOptions{Device: on.Device})
		data := f.sample(t, 40, 30, 18)
		opt := pol.Options{
			Epochs: 1, Batch: 20, PerturbBatch: 25, RateFactor: 1, Momentum: 0.9, WeightDecay: 5e-4, Schedule: pol.Cosine, GammaMax: 2, PerturbEvery: 1, Seed: 1,
			Classifier: f.plan(t, "pof", "", "").Perturb[0],
		}
		plans := []pol.Plan{f.plan(t, "pol", "module:head", "blocks.5"), f.plan(t, "pol", "blocks.2", "module:blocks.4.mlp.fc1"), f.plan(t, "pol", "module:head", "norm")}
		got := make([]pol.Trial, len(plans))
		if err := pol.Try(t.Context(), f, data, plans, opt, pol.Tryout{Begin: func(int) {}, Tried: func(i int, r pol.Trial) error { got[i] = r; return nil }}); err != nil {
			t.Fatal(err)
		}
		for i, plan := range plans {
			r, err := pol.Treat(t.Context(), f, data, plan, opt)
			if err != nil {
				t.Fatal(err)
			}
			treated, err := nn.Import(f, r.Weights)
			if err != nil {
				t.Fatal(err)
			}
			weights := slices.Collect(maps.Keys(r.Weights))
			treated.Override(weights...)
			e, err := pol.Evaluate(t.Context(), f, data.Validation, nil)
			if err != nil {
				t.Fatal(err)
			}
			nn.Restore(f, weights...)
			treated.Free()
			own, fitted := e.Logits.FitTemperature()
			if !fitted || *got[i].Temperature != own || *got[i].Loss != metric.Mean(e.Logits.Losses(1/own)) {
				t.Errorf("plan %d: loss %v at %v, want %v at %v", i, *got[i].Loss, *got[i].Temperature, metric.Mean(e.Logits.Losses(1/own)), own)
			}
		}
	})
}

// TestEvaluationTellsOfProgress evaluates a part of the fixture's images, of
// which the last batch is not full.
func TestEvaluationTellsOfProgress(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		f := openFixture(t, graph.RunnerOptions{Device: on.Device})
		data := f.sample(t, 1, 1, f.Batch()+3)
		var told []int
		e, err := pol.Evaluate(t.Context(), f, data.Holdout, func(done, total int) {
			if total != data.Holdout.Len() {
				t.Errorf("%d of %d", done, total)
			}
			told = append(told, done)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(told) != 2 || told[0] != 0 || told[1] != f.Batch() {
			t.Errorf("told of %v", told)
		}
		if len(e.Losses) != data.Holdout.Len() || e.Logits.Len() != data.Holdout.Len() {
			t.Errorf("%d losses and %d logits", len(e.Losses), e.Logits.Len())
		}
		for i, l := range e.Logits.Losses(1) {
			within(t, "loss", e.Losses[i], l, 1e-5)
		}
	})
}

// TestBuiltInSample treats the fixture's head on the built-in images, which it
// has not memorised, as `fix --perturb head --update head --calibration none` does:
// the hold-out loss falls significantly, but a temperature takes off more, so that
// the treatment is not accepted. The figures of the checkpoint are the golden ones.
func TestBuiltInSample(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		f := openFixture(t, graph.RunnerOptions{Device: on.Device})
		plan := f.plan(t, "pol", "head", "head")
		opt := pol.DefaultOptions(plan.Recipe)
		opt.Temperature, opt.Rate, opt.GammaMax = 1, pol.DefaultRate, pol.DefaultGammaMax
		r, err := pol.Treat(t.Context(), f, f.sample(t, 2000, 1000, 2000), plan, opt)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "hold-out loss before", r.Before.Loss, 4.593692, 1e-4)
		within(t, "hold-out error before", r.Before.Error, 0.821, 1e-9)
		within(t, "hold-out loss with a temperature", r.Temperature.Loss, 3.46628, 1e-3)
		if want := []pol.Objection{pol.NotBeyondTemperature}; !slices.Equal(r.Objections(), want) || !r.TemperatureAccepted() || r.Gain.Mean < 0.2 {
			t.Errorf("objections %v, want %v; gain %+v, with a temperature %+v", r.Objections(), want, r.Gain, r.Temperature.Drop)
		}
		if head := f.Layer(t, "head"); len(r.Weights) != len(head.Weights) || r.Trained != head.Parameters {
			t.Errorf("%d weights with %d parameters have changed", len(r.Weights), r.Trained)
		}
	})
}
