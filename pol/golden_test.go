package pol_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/fixtures"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/pol"
)

// fixtureModel is the small vision transformer of the fixtures, which a
// runner computes.
type fixtureModel struct {
	*graph.Runner
	*fixtures.Model
}

func openFixture(t testing.TB, opt graph.RunnerOptions) *fixtureModel {
	m := fixtures.Open(t, "model.onnx")
	return &fixtureModel{m.Runner(t, opt), m}
}

// plan resolves a recipe's layers; those named take the place of its choices.
func (f *fixtureModel) plan(t testing.TB, recipe, perturb, update string) pol.Plan {
	t.Helper()
	r, err := pol.FindRecipe(recipe)
	if err != nil {
		t.Fatal(err)
	}
	resolve := func(c pol.Choice, name string) []diag.Layer {
		if name != "" {
			return []diag.Layer{f.Layer(t, name)}
		}
		granularity := graph.ByBlock
		if c.OfModules() {
			granularity = graph.ByModule
		}
		layers, err := c.Choose(f.Layers(granularity), f.Layer(t, "module:head"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return layers
	}
	return pol.Plan{Recipe: r, Perturb: resolve(r.Perturb, perturb), Update: resolve(r.Update, update)}
}

// sample are parts of the built-in sample, of the given lengths.
func (f *fixtureModel) sample(t testing.TB, train, validation, holdout int) pol.Data {
	t.Helper()
	part := func(split string, n int) nn.Examples {
		return f.Part(t, cifar.Sample(), fmt.Sprintf("%s[:%d]", split, n))
	}
	return pol.Data{Train: part(dataset.Train, train), Validation: part(dataset.Validation, validation), Holdout: part(dataset.Holdout, holdout)}
}

// goldenFix is the part of golden-fix.json that is compared.
type goldenFix struct {
	Before map[string]struct {
		Loss, Error, ECE float64
	} `json:"before"`
	TemperatureAlone struct {
		Fit float64                `json:"T_fit_on_v"`
		H   struct{ Loss float64 } `json:"h"`
	} `json:"temperature_alone"`
	Recipes []goldenRecipe `json:"recipes"`
}

type goldenRecipe struct {
	Recipe          string  `json:"recipe"`
	Tag             string  `json:"tag"`
	P               *string `json:"P"`
	U               string  `json:"U"`
	Granularity     string  `json:"granularity"`
	Hyperparameters struct {
		Rate        float64 `json:"lr"`
		Epochs      int     `json:"epochs"`
		Batch       int     `json:"batch"`
		Perturb     int     `json:"bprime"`
		Rho         float64 `json:"rho"`
		GammaMax    float64 `json:"gamma_max"`
		Momentum    float64 `json:"momentum"`
		WeightDecay float64 `json:"wd"`
	} `json:"hyperparameters"`
	Seeds []uint64 `json:"seeds"`
	HLoss spread   `json:"h_loss"`
	HDrop spread   `json:"h_loss_drop"`
}

type spread struct{ Mean, SD float64 }

// band is the half width within which the mean over three seeds of another
// implementation should lie.
func (s spread) band() float64 { return 3 * max(s.SD, 0.02) }

func readGolden(t *testing.T) *goldenFix {
	t.Helper()
	data, err := os.ReadFile(shareddata.Path(t, "oracle", "vit-cifar100", "golden-fix.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := &goldenFix{}
	if err := json.Unmarshal(data, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// isReference reports whether the row is the run that its recipe is compared
// with.
func (g *goldenRecipe) isReference() bool { return g.Tag == "main" }

// options are the golden hyperparameters.
func (g *goldenRecipe) options(seed uint64) pol.Options {
	h := g.Hyperparameters
	return pol.Options{
		Epochs: h.Epochs, Batch: h.Batch, PerturbBatch: h.Perturb, Rate: h.Rate, Momentum: h.Momentum, WeightDecay: h.WeightDecay,
		Schedule: pol.Cosine, GammaMax: h.GammaMax, Rho: h.Rho, PerturbEvery: 1, Seed: seed, Temperature: 1,
	}
}

// TestGolden treats the fixture on the images that it has memorised, as an
// independent implementation did (golden-fix.json): each recipe must end where
// that one ended.
func TestGolden(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		if testing.Short() {
			t.Skip("trains for minutes")
		}
		source, err := cifar.Open(shareddata.Path(t, "data", "cifar-100-binary"))
		if err != nil {
			t.Fatal(err)
		}
		golden := readGolden(t)
		f := openFixture(t, graph.RunnerOptions{Device: on.Device})
		data := pol.Data{
			Train:      f.Part(t, source, "train[:5000]"),
			Validation: f.Part(t, source, "test[:1000]"),
			Holdout:    f.Part(t, source, "test[1000:3000]"),
		}
		var compared []string
		for _, g := range golden.Recipes {
			if !g.isReference() {
				continue
			}
			compared = append(compared, g.Recipe)
			t.Run(g.Recipe, func(t *testing.T) {
				update := g.U
				if update == "all" || g.Recipe == "pof" {
					update = "" // the recipe's own choice
				}
				perturb := ""
				if g.Recipe == "pol" {
					perturb = *g.P
				}
				plan := f.plan(t, g.Recipe, perturb, update)
				var losses, drops []float64
				for _, seed := range g.Seeds {
					r, err := pol.Treat(t.Context(), f, data, plan, g.options(seed))
					if err != nil {
						t.Fatal(err)
					}
					if r.Stopped != "" || r.After == nil {
						t.Fatalf("seed %d: stopped: %s", seed, r.Stopped)
					}
					within(t, "hold-out loss before", r.Before.Loss, golden.Before["h"].Loss, 1e-4)
					within(t, "hold-out error before", r.Before.Error, golden.Before["h"].Error, 1e-9)
					within(t, "hold-out ECE before", r.Before.ECE, golden.Before["h"].ECE, 1e-4)
					within(t, "temperature", r.Temperature.Value, golden.TemperatureAlone.Fit, 1e-3)
					within(t, "hold-out loss with it", r.Temperature.Loss, golden.TemperatureAlone.H.Loss, 1e-3)
					t.Logf("seed %d: hold-out loss %.4f, drop %.4f ± %.4f, best epoch %d, %.1f s an epoch, scans %.0f %%, %d evaluations",
						seed, r.After.Loss, r.Gain.Mean, r.Gain.SE, r.Best, r.SecondsPerEpoch(), 100*r.Scans.Share, r.Scans.Evaluations)
					for w, values := range r.Weights {
						if slices.Equal(values, f.Weight(w)) {
							t.Errorf("seed %d: weight %d has its old values", seed, w)
						}
					}
					losses, drops = append(losses, r.After.Loss), append(drops, r.Gain.Mean)
				}
				within(t, "hold-out loss", metric.Mean(losses), g.HLoss.Mean, g.HLoss.band())
				if g.Recipe == "pol" { // where the band alone proves little
					within(t, "drop", metric.Mean(drops), g.HDrop.Mean, 0.005)
				}
			})
		}
		slices.Sort(compared)
		if want := []string{"pof", "pol", "sam", "sgd"}; !slices.Equal(compared, want) {
			t.Errorf("%v were compared, want each of %v once", compared, want)
		}
	})
}

func within(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %v, want %v ± %v", what, got, want, tolerance)
	}
}
