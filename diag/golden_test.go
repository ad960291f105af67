package diag_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/fixtures"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// The golden numbers were computed in float64 by an independent
// implementation (fixtures/vit-cifar100/golden-check.json). Tolerances are
// relative unless they say otherwise; they are what a search of relative width
// 1e-2 in float32 can promise.
const (
	goldenLoss      = 1e-4
	goldenGradient  = 1e-4
	goldenDelta     = 1e-2
	goldenStep      = 3e-2
	goldenPartStep  = 8e-2 // lengths chosen on a quarter of the images; their figure is ΔL̂
	goldenKappa     = 6e-2
	goldenTransfer  = 1e-2 // of the larger of the in-sample ΔL and 1e-2·L_V
	goldenSE        = 5e-2
	goldenAgreement = 1e-3 // absolute
)

type goldenFile struct {
	Model struct {
		Loss        float64 `json:"loss"`
		Error       float64 `json:"error"`
		ECE         float64 `json:"ece"`
		Temperature struct {
			Fit  float64 `json:"T_fit_on_v"`
			Drop float64 `json:"drop"`
			SE   float64 `json:"se"`
		} `json:"temperature"`
	} `json:"whole_model"`
	Layers     map[string][]goldenLine      `json:"layers"`
	Transfer   map[string][]goldenTransfers `json:"transfer"`
	Calibrated struct {
		Loss  float64            `json:"loss"`
		Block []goldenCalibrated `json:"block"`
	} `json:"calibrated"`
	Relative struct {
		Block []goldenRelative `json:"block"`
	} `json:"relative"`
}

type goldenLine struct {
	Layer  string  `json:"layer"`
	WNorm  float64 `json:"w_norm"`
	GNorm  float64 `json:"g_norm"`
	TStar  float64 `json:"t_star"`
	DeltaL float64 `json:"delta_l"`
	Kappa  float64 `json:"kappa"`
	Scaled float64 `json:"kappa_w2"`
}

type goldenTransfers struct {
	Layer     string                  `json:"layer"`
	Agreement float64                 `json:"agreement"`
	Delta     float64                 `json:"delta_loss"`
	SE        float64                 `json:"se"`
	SEA       float64                 `json:"se_a"`
	SEB       float64                 `json:"se_b"`
	CI95      [2]float64              `json:"ci95"`
	Kappa     *float64                `json:"kappa"`
	Steps     map[string]goldenStepOf `json:"steps"`
}

type goldenStepOf struct {
	T      float64
	Capped bool
	Found  float64 `json:"t_found"` // before the cap; 0 unless capped
}

type goldenCalibrated struct {
	goldenTransfers
	DeltaL    float64 `json:"delta_l"`
	TStar     float64 `json:"t_star"`
	KappaLine float64 `json:"kappa_line"`
	GNorm     float64 `json:"g_norm"`
}

type goldenRelative struct {
	goldenTransfers
	DeltaL        float64  `json:"delta_l"`
	TStar         float64  `json:"t_star"`
	KappaScaled   float64  `json:"kappa"`
	KappaTransfer *float64 `json:"kappa_transfer"`
}

func readGolden(t *testing.T) *goldenFile {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixtures.Folder, "golden-check.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := &goldenFile{}
	if err := json.Unmarshal(data, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// diagnoseFixture runs a diagnosis of one of the two exports of the fixture on
// the built-in sample, which is the golden numbers' V.
// Layers before the one called first are left out; "" measures all.
func diagnoseFixture(t *testing.T, on testdevice.Backend, file string, granularity graph.Granularity, first string, opt diag.Options) *diag.Report {
	t.Helper()
	m := fixtures.Open(t, file)
	layers := m.Layers(granularity)
	if first != "" {
		layers = layers[slices.IndexFunc(layers, func(l diag.Layer) bool { return l.Name == first }):]
	}
	validation := m.Part(t, cifar.Sample(), dataset.Validation)
	r, err := diag.Diagnose(context.Background(), m.Runner(t, graph.RunnerOptions{Device: on.Device}), validation, layers, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGolden(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		golden := readGolden(t)
		for _, test := range []struct {
			file        string
			granularity graph.Granularity
			first       string
		}{
			{"model.onnx", graph.ByBlock, ""},
			{"model-legacy.onnx", graph.ByBlock, ""},
			{"model.onnx", graph.ByModule, ""},
			// The two files hold the same weights: of the second, the modules whose
			// searches are short will do.
			{"model-legacy.onnx", graph.ByModule, "blocks.5.norm1"},
		} {
			if testing.Short() && test.granularity == graph.ByModule {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", test.file, test.granularity), func(t *testing.T) {
				r := diagnoseFixture(t, on, test.file, test.granularity, test.first, diag.Options{Temperature: 1})
				checkMetrics(t, r, golden)
				lines, transfers := golden.Layers[string(test.granularity)], golden.Transfer[string(test.granularity)]
				offset := r.Layers[0].Index
				if len(r.Layers)+offset != len(lines) {
					t.Fatalf("%d layers from %d on, golden %d", len(r.Layers), offset, len(lines))
				}
				lines, transfers = lines[offset:], transfers[offset:]
				for i, l := range r.Layers {
					g := lines[i]
					if l.Name != g.Layer {
						t.Fatalf("layer %d is %s, golden %s", i, l.Name, g.Layer)
					}
					relative(t, l.Name+" ‖w‖", l.WNorm, g.WNorm, goldenGradient)
					relative(t, l.Name+" ‖g‖", l.GNorm, g.GNorm, goldenGradient)
					relative(t, l.Name+" step", l.Step, g.TStar, goldenStep)
					relative(t, l.Name+" ΔL", l.DeltaLoss, g.DeltaL, goldenDelta)
					relative(t, l.Name+" κ", *l.Kappa, g.Kappa, goldenKappa)
					relative(t, l.Name+" κ‖w‖²", *l.KappaScaled, g.Scaled, goldenKappa)
					checkTransfer(t, l, transfers[i], g.DeltaL, golden.Model.Loss)
				}
				byDelta := slices.MaxFunc(lines, func(a, b goldenLine) int { return compare(a.DeltaL, b.DeltaL) }).Layer
				byKappa := slices.MaxFunc(lines, func(a, b goldenLine) int { return compare(a.Kappa, b.Kappa) }).Layer
				if r.Worst.ByDeltaLoss != byDelta || r.Worst.ByKappa != byKappa {
					t.Errorf("worst by ΔL %s, by κ %s; golden %s, %s", r.Worst.ByDeltaLoss, r.Worst.ByKappa, byDelta, byKappa)
				}
			})
		}
	})
}

func TestGoldenCalibrated(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		golden := readGolden(t)
		r := diagnoseFixture(t, on, "model.onnx", graph.ByBlock, "", diag.Options{})
		checkMetrics(t, r, golden)
		relative(t, "calibrated loss", *r.Metrics.StartLoss, golden.Calibrated.Loss, goldenLoss)
		for i, l := range r.Layers {
			g := golden.Calibrated.Block[i]
			relative(t, l.Name+" ‖g‖", l.GNorm, g.GNorm, goldenGradient)
			relative(t, l.Name+" step", l.Step, g.TStar, goldenStep)
			relative(t, l.Name+" ΔL", l.DeltaLoss, g.DeltaL, goldenDelta)
			relative(t, l.Name+" κ", *l.Kappa, g.KappaLine, goldenKappa)
			checkTransfer(t, l, g.goldenTransfers, g.DeltaL, golden.Model.Loss)
		}
	})
}

func TestGoldenBalanced(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		golden := readGolden(t)
		r := diagnoseFixture(t, on, "model.onnx", graph.ByBlock, "", diag.Options{Direction: diag.Balanced, Temperature: 1})
		for i, l := range r.Layers {
			g := golden.Relative.Block[i]
			g.Kappa = g.KappaTransfer
			relative(t, l.Name+" step", l.Step, g.TStar*golden.Layers["block"][i].WNorm, goldenStep)
			relative(t, l.Name+" ΔL", l.DeltaLoss, g.DeltaL, goldenDelta)
			relative(t, l.Name+" κ‖w‖²", *l.KappaScaled, g.KappaScaled, goldenKappa)
			checkTransfer(t, l, g.goldenTransfers, g.DeltaL, golden.Model.Loss)
		}
	})
}

func checkMetrics(t *testing.T, r *diag.Report, golden *goldenFile) {
	t.Helper()
	relative(t, "loss", *r.Metrics.Loss, golden.Model.Loss, goldenLoss)
	relative(t, "error", *r.Metrics.Error, golden.Model.Error, 1e-12)
	relative(t, "calibration error", *r.Metrics.ECE, golden.Model.ECE, goldenLoss)
	relative(t, "temperature", *r.Metrics.Temperature.Value, golden.Model.Temperature.Fit, goldenLoss)
	relative(t, "temperature's drop", r.Metrics.Temperature.Drop.Mean, golden.Model.Temperature.Drop, goldenLoss)
	relative(t, "its standard error", r.Metrics.Temperature.Drop.SE, golden.Model.Temperature.SE, goldenSE)
}

func checkTransfer(t *testing.T, l diag.LayerResult, g goldenTransfers, inSample, loss float64) {
	t.Helper()
	if l.Transfer == nil {
		t.Errorf("%s: no transfer figure: %s", l.Name, l.TransferReason)
		return
	}
	absolute(t, l.Name+" agreement", *l.Agreement, g.Agreement, goldenAgreement)
	scale := goldenTransfer * max(inSample, 1e-2*loss)
	absolute(t, l.Name+" ΔL̂", l.Transfer.Gain.Mean, g.Delta, scale)
	relative(t, l.Name+" ΔL̂'s standard error", l.Transfer.Gain.SE, g.SE, goldenSE)
	for end := range 2 {
		absolute(t, l.Name+" ΔL̂'s interval", l.Transfer.Gain.CI95[end], g.CI95[end], scale+1.96*goldenSE*g.SE)
	}
	relative(t, l.Name+" ΔL̂'s standard error in A", l.Transfer.SEA, g.SEA, goldenSE)
	relative(t, l.Name+" ΔL̂'s standard error in B", l.Transfer.SEB, g.SEB, goldenSE)
	switch got := l.Transfer.Kappa; {
	case got != nil && g.Kappa != nil:
		relative(t, l.Name+" κ̂", *got, *g.Kappa, 2*goldenPartStep+scale/g.Delta)
	case math.Abs(g.Delta) <= scale: // ΔL̂ may have either sign
	case got != nil || g.Kappa != nil:
		t.Errorf("%s κ̂ is %v, golden %v", l.Name, got, g.Kappa)
	}
	steps := map[string]diag.Length{"a1": l.Transfer.Steps.A1, "a2": l.Transfer.Steps.A2, "b1": l.Transfer.Steps.B1, "b2": l.Transfer.Steps.B2}
	for part, got := range steps {
		want := g.Steps[part]
		relative(t, l.Name+" step of "+part, got.T, want.T, goldenPartStep)
		// A length within its tolerance of the cap may lie on either side of it.
		atCap := want.Capped && want.Found < (1+goldenPartStep)*want.T || got.T > (1-goldenPartStep)*inSampleStep(l) && !want.Capped
		if got.Capped != want.Capped && !atCap {
			t.Errorf("%s step of %s is %+v, golden %+v", l.Name, part, got, want)
		}
	}
}

// inSampleStep is t*, in the unit of the transfer figure's lengths: its points are
// ascending, and the lowest is the step found.
func inSampleStep(l diag.LayerResult) float64 {
	return slices.MinFunc(l.Points, func(a, b [2]float64) int { return compare(a[1], b[1]) })[0]
}

func relative(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	absolute(t, what, got, want, tolerance*math.Abs(want))
}

func absolute(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.8g, golden %.8g, off by %.2g, tolerance %.2g", what, got, want, math.Abs(got-want), tolerance)
	}
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
