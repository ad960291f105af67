package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func pointer(x float64) *float64 { return &x }

// sample is a report with every status and every absent number.
func sample() *Check { return checkOf(diagnosis()) }

// checkOf is the report of a diagnosis.
func checkOf(d *diag.Report) *Check {
	c := NewCheck(d)
	c.Model = Model{Path: "models/vit.onnx", SHA256: strings.Repeat("00ff", 16), Producer: "pytorch 2.15.0", Opset: 20, IRVersion: 10, Parameters: 701188, Analysed: 701188, Classes: 100, Family: "ViT, 2 blocks", SoftmaxRemoved: true, FixedBatch: 4}
	c.Data = Data{Name: "images", Val: "test[:1000]", ValN: 1000, Train: "sample of train", TrainN: 1000, SHA256: strings.Repeat("a1", 32), Preprocess: Preprocess{Name: "imagenet", Source: "preset", Mean: [3]float64{0.5, 0.25, 0.125}, Std: [3]float64{1, 1, 1}, Size: [2]int{32, 32}}}
	c.Granularity = "block"
	c.Skipped = []Skipped{{Name: "mean", Elements: 3, Reason: "input normalisation"}}
	if c.Judge(Gate{FailOn: "error", OnUndecided: UndecidedWarn}) {
		c.ExitCode = 1
	}
	c.Provenance = Provenance{Version: "v0", Command: []string{"modeldoctor", "check"}, Device: "cpu", Threads: 2, Seconds: 11.23, PeakBytes: 1 << 20}
	return c
}

// diagnosis has layers of every status.
func diagnosis() *diag.Report {
	images := 2600
	steps := diag.Steps{A1: diag.Length{T: 1}, A2: diag.Length{T: 2}, B1: diag.Length{T: 3}, B2: diag.Length{T: 4, Capped: true}}
	return &diag.Report{
		Metrics: diag.Metrics{Loss: pointer(4.532), StartLoss: pointer(3.455), Error: pointer(0.792), ECE: pointer(0.3173), Temperature: &diag.Temperature{Value: pointer(2.357), Drop: metric.Estimate{Mean: 1.0763, SE: 0.0616, CI95: [2]float64{0.9556, 1.197}}, Decision: diag.Decision{Verdict: diag.Over}}},
		Layers: []diag.LayerResult{
			{Name: "embed", Index: 0, Parameters: 20256, WNorm: 13.3, GNorm: 1.1, Step: 0.34, StepShare: pointer(0.026), DeltaLoss: 0.191, Kappa: pointer(1.612), KappaScaled: pointer(287.2), Agreement: pointer(-0.036),
				Transfer: &diag.Transfer{Gain: metric.Estimate{Mean: -0.001, SE: 0.0012, CI95: [2]float64{-0.0034, 0.0013}}, SEA: 0.0024, CorrectedLow: -0.0042, Steps: diag.Steps{A2: diag.Length{T: 0.0185}}, ForwardEvaluations: 12},
				Decision: diag.Decision{Verdict: diag.Under}, Training: &diag.Training{LossBefore: 0.292, LossAfter: 0.31, Change: metric.Estimate{Mean: 0.018, SE: 0.001}, Slope: -0.2, Cosine: pointer(0.1)},
				Status: diag.StatusOK, Points: [][2]float64{{0, 4.532}, {0.34, 4.341}}, ForwardEvaluations: 5},
			{Name: "blocks.0", Index: 1, Parameters: 111840, WNorm: 17, GNorm: 0, Status: diag.StatusFlat, Reason: "the gradient is zero", TransferReason: "the gradient is zero"},
			{Name: "neck", Index: 6, Parameters: 192, WNorm: 2, GNorm: 0.1, Step: 1, StepShare: pointer(0.5), DeltaLoss: 0.01, Kappa: pointer(0.01), KappaScaled: pointer(0.04), Agreement: pointer(-0.3),
				Transfer: &diag.Transfer{Reason: "no length is above 0", ForwardEvaluations: 0},
				Decision: diag.Decision{Verdict: diag.Undecided, ImagesNeeded: &images},
				Status:   diag.StatusOK, Points: [][2]float64{{0, 3.455}, {1, 3.445}}, ForwardEvaluations: 4},
			{Name: "blocks.1", Index: 2, Parameters: 111840, WNorm: 17, Status: diag.StatusDiverged, Reason: "the loss is not finite"},
			{Name: "a.layer.with.a.long.name", Index: 3, Parameters: 7, WNorm: 17, Status: diag.StatusSkipped, Reason: "time limit"},
			{Name: "層\x1b[31m", Index: 4, Parameters: 1 << 27, WNorm: 17, GNorm: 2, Step: 1e-4, StepShare: pointer(1e-5), DeltaLoss: 0.112, Kappa: pointer(1.12e7), KappaScaled: pointer(5), Agreement: pointer(-0.004),
				Transfer: &diag.Transfer{Gain: metric.Estimate{Mean: 0.0711, SE: 0.01, CI95: [2]float64{0.0515, 0.0907}}, CorrectedLow: 0.046, Kappa: pointer(0.01), SEA: 0.009, SEB: 0.011, Steps: steps, ForwardEvaluations: 16},
				Decision: diag.Decision{Verdict: diag.Over},
				Status:   diag.StatusOK, Reason: "the loss falls to the end of the path", Points: [][2]float64{{0, 4.532}}, ForwardEvaluations: 4},
			{Name: "head", Index: 5, Parameters: 9892, WNorm: 12, GNorm: 2, Step: 3, StepShare: pointer(0.25), DeltaLoss: 1.774, Kappa: pointer(0.0339), KappaScaled: pointer(5), Agreement: pointer(0.23),
				Transfer: &diag.Transfer{Gain: metric.Estimate{Mean: 0.207, SE: 0.0279, CI95: [2]float64{0.152, 0.262}}, CorrectedLow: 0.13, Kappa: pointer(0.01), SEA: 0.027, SEB: 0.0288, Steps: steps, ForwardEvaluations: 16},
				Decision: diag.Decision{Verdict: diag.Over},
				Training: &diag.Training{LossBefore: 0.292, LossAfter: 0.31, Change: metric.Estimate{Mean: 0.018, SE: 0.001}, Slope: 0.2, Finding: diag.OverFitted},
				Status:   diag.StatusOK, Points: [][2]float64{{0, 4.532}}, ForwardEvaluations: 4},
		},
		Worst: diag.Worst{ByDeltaLoss: "head", ByTransfer: "head", ByKappa: "embed", Set: []string{"head", "層\x1b[31m"}},
		Violations: []diag.Violation{
			{Rule: diag.RuleRecoverableLoss, Level: diag.LevelError, Layer: "層\x1b[31m", Message: "moving this layer takes 0.071 ± 0.02 nats off the loss of unseen examples, at least 0.046 (97.5 % one-sided, all layers at once): over 0.0453"},
			{Rule: diag.RuleRecoverableLoss, Level: diag.LevelError, Layer: "head", Message: "moving this layer takes 0.207 ± 0.055 nats off the loss of unseen examples, at least 0.13 (97.5 % one-sided, all layers at once): over 0.0453"},
			{Rule: diag.RuleNotMeasured, Level: diag.LevelError, Layer: "blocks.1", Message: "not measured: the loss is not finite"},
			{Rule: diag.RuleNotMeasured, Level: diag.LevelWarning, Layer: "blocks.0", Message: "no transfer figure: the gradient is zero"},
			{Rule: diag.RuleTemperature, Level: diag.LevelError, Message: "that part is mis-calibration"},
			{Rule: diag.RuleOverFitted, Level: diag.LevelInfo, Layer: "head", Message: "over-fitted: it costs training loss"},
		},
		Verdict:  diag.ModelVerdict{Outcome: diag.Fail},
		Complete: true, N: 1000, Training: 1000, Classes: 100, Calibration: diag.Fitted, Temperature: 2.357, Threshold: 0.01, Limit: pointer(0.03455), Tests: 6, Coverage: 0.9731,
	}
}

// unknown is a report in which nothing could be measured.
func unknown() *Check {
	c := checkOf(&diag.Report{Layers: []diag.LayerResult{{Name: "head", Parameters: 7, Status: diag.StatusSkipped, Reason: "time limit"}}, Verdict: diag.ModelVerdict{Outcome: diag.Unclear, Reason: "nothing was measured"}, Calibration: diag.Unfitted, Temperature: 1, Threshold: 0.01, Tests: 1})
	c.Data.SHA256 = ""
	return c
}

// undecided is a report that no rule fails, and that the images do not decide.
func undecided() *Check {
	images := 17000
	d := diagnosis()
	layer := d.Layers[0]
	layer.Transfer = &diag.Transfer{Gain: metric.Estimate{Mean: 0.027, SE: 0.015, CI95: [2]float64{-0.0024, 0.0564}}, CorrectedLow: -0.02}
	layer.Decision, layer.Training = diag.Decision{Verdict: diag.Undecided, ImagesNeeded: &images}, nil
	d.Layers, d.Violations, d.Training, d.Tests = []diag.LayerResult{layer}, nil, 0, 8
	d.Metrics.Temperature.Decision = diag.Decision{Verdict: diag.Under}
	d.Worst, d.Verdict = diag.Worst{}, diag.ModelVerdict{Outcome: diag.Unclear, ImagesNeeded: &images}
	c := checkOf(d)
	c.Data.Train, c.Data.TrainN = "", 0
	return c
}

// healthy is a report of layers that all are under the threshold.
func healthy() *Check {
	d := diagnosis()
	d.Layers, d.Violations, d.Tests = d.Layers[:1], nil, 1
	d.Metrics.Temperature.Decision = diag.Decision{Verdict: diag.Under}
	d.Worst, d.Verdict = diag.Worst{}, diag.ModelVerdict{Outcome: diag.Pass}
	return checkOf(d)
}

// TestWidths: no line is longer than the style says, and no word is broken.
func TestWidths(t *testing.T) {
	results := map[string]Result{"check": sample(), "unknown": unknown(), "undecided": undecided(), "passed": healthy(), "topics": Topics{diag.Rules(), diag.Terms()}}
	for _, r := range diag.Rules() {
		results[r.ID] = Rule(r)
	}
	for _, term := range diag.Terms() {
		results[term.Name] = Term(term)
	}
	for name, result := range results {
		var words string
		for _, width := range []int{60, 80, 100, 120} {
			var text bytes.Buffer
			if err := Write(&text, result, "text", Style{Width: width}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(text.String()) {
				if n := columns(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%s: %d columns, want at most %d: %s", name, n, width, line)
				}
			}
			if _, table := result.(*Check); table { // some columns are left out
				continue
			}
			if got := strings.Join(strings.Fields(text.String()), " "); words == "" {
				words = got
			} else if got != words {
				t.Errorf("%s: at %d columns the words are\n%s\nwant\n%s", name, width, got, words)
			}
		}
	}
}

func TestGoldenFiles(t *testing.T) {
	checkGolden(t, map[string]func(*bytes.Buffer) error{
		"check.txt":       func(b *bytes.Buffer) error { return Write(b, sample(), "text", Style{}) },
		"check-color.txt": func(b *bytes.Buffer) error { return Write(b, sample(), "text", Style{Color: true}) },
		"check-60.txt":    func(b *bytes.Buffer) error { return Write(b, sample(), "text", Style{Width: 60}) },
		"check-wide.txt":  func(b *bytes.Buffer) error { return Write(b, sample(), "text", Style{Wide: true}) },
		"check.md":        func(b *bytes.Buffer) error { return Write(b, sample(), "markdown", Style{}) },
		"pass.txt":        func(b *bytes.Buffer) error { return Write(b, healthy(), "text", Style{}) },
		"undecided.txt":   func(b *bytes.Buffer) error { return Write(b, undecided(), "text", Style{}) },
		"check.json":      func(b *bytes.Buffer) error { return Write(b, sample(), "json", Style{}) },
		"unknown.txt":     func(b *bytes.Buffer) error { return Write(b, unknown(), "text", Style{}) },
		"unknown.json":    func(b *bytes.Buffer) error { return Write(b, unknown(), "json", Style{}) },
		"rule.txt":        func(b *bytes.Buffer) error { return Write(b, Rule(diag.Rules()[0]), "text", Style{}) },
		"term.txt":        func(b *bytes.Buffer) error { return Write(b, Term(diag.Terms()[0]), "text", Style{}) },
		"topics.txt":      func(b *bytes.Buffer) error { return Write(b, Topics{diag.Rules(), diag.Terms()}, "text", Style{}) },
		"topics-60.txt": func(b *bytes.Buffer) error {
			return Write(b, Topics{diag.Rules(), diag.Terms()}, "text", Style{Width: 60})
		},
		"inspect.txt":  func(b *bytes.Buffer) error { return Write(b, inspection(t, "inspect"), "text", Style{}) },
		"inspect.json": func(b *bytes.Buffer) error { return Write(b, inspection(t, "inspect"), "json", Style{}) },
		"refused.txt":  func(b *bytes.Buffer) error { return Write(b, inspection(t, "refused"), "text", Style{}) },
		"refused.json": func(b *bytes.Buffer) error { return Write(b, inspection(t, "refused"), "json", Style{}) },
		"probe.txt":    func(b *bytes.Buffer) error { return Write(b, probe(t), "text", Style{}) },
		"probe.json":   func(b *bytes.Buffer) error { return Write(b, probe(t), "json", Style{}) },
	})
}

// checkGolden compares what is printed with the files of those names.
func checkGolden(t *testing.T, printers map[string]func(*bytes.Buffer) error) {
	t.Helper()
	for name, print := range printers {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := print(&got); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("run go test ./report -update if this is meant:\n%s", diff)
			}
		})
	}
}

// TestTableColumns: the figures line up, whatever characters names have, and
// nothing in a name reaches the terminal as a control sequence.
func TestTableColumns(t *testing.T) {
	var text bytes.Buffer
	if err := Write(&text, sample(), "text", Style{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Error("an escape sequence of a layer's name is printed")
	}
	_, table, _ := strings.Cut(text.String(), "\nlayer")
	table, violations, _ := strings.Cut(table, "\n\n")
	at := map[int]bool{}
	for line := range strings.Lines(table) {
		if before, _, ok := strings.Cut(line, " ± "); ok {
			at[columns(before)] = true
		}
	}
	if len(at) != 1 {
		t.Errorf("± stands in columns %v, want one:\n%s", at, table)
	}
	for line := range strings.Lines(violations) {
		if n := columns(strings.TrimSuffix(line, "\n")); n > lineColumns {
			t.Errorf("%d columns, want at most %d: %s", n, lineColumns, line)
		}
	}
}

// TestFixed: losses are told apart however small they are, and zero has no sign.
func TestFixed(t *testing.T) {
	for _, c := range []struct {
		loss, x float64
		want    string
	}{
		{4.5, 0.0453, "0.045"}, {4.5, -0.0001, "0.000"}, {0.2, 0.0021, "0.0021"}, {0.0004, 0.0000042, "0.000004"}, {90, 0.5, "0.500"},
	} {
		check := &Check{Limit: pointer(0.01 * c.loss)}
		if got := fixed(c.x, check.decimals()); got != c.want {
			t.Errorf("%v of a loss of %v is printed %s, want %s", c.x, c.loss, got, c.want)
		}
	}
}

// TestVerdict: the same violations fail at the level that was asked for, and what
// is undecided fails where that was asked for.
func TestVerdict(t *testing.T) {
	for failOn, want := range map[string]int{"error": 4, "warning": 5, FailNever: 0} {
		c := sample()
		fails := c.Judge(Gate{FailOn: failOn, OnUndecided: UndecidedWarn})
		if got := len(c.Failed()); got != want || c.Verdict != Fail || fails != (want > 0) {
			t.Errorf("at %q %d violations fail, want %d; verdict %s, fails: %v", failOn, got, want, c.Verdict, fails)
		}
	}
	images := 2600
	unclear := &diag.Report{
		Verdict: diag.ModelVerdict{Outcome: diag.Unclear, ImagesNeeded: &images}, Complete: true,
		Violations: []diag.Violation{{Rule: diag.RuleRecoverableLoss, Level: diag.LevelWarning, Layer: "head"}},
	}
	for _, c := range []struct {
		failOn, onUndecided string
		verdict             Verdict
		fails               bool
	}{
		{"error", UndecidedWarn, Unclear, false},
		{"error", UndecidedPass, Unclear, false},
		{"error", UndecidedFail, Unclear, true},
		{"warning", UndecidedPass, Fail, true},
		{FailNever, UndecidedWarn, Unclear, false},
		{FailNever, UndecidedFail, Unclear, false},
	} {
		check := NewCheck(unclear)
		fails := check.Judge(Gate{FailOn: c.failOn, OnUndecided: c.onUndecided})
		if check.Verdict != c.verdict || fails != c.fails || (check.Images != nil) != (c.verdict == Unclear) {
			t.Errorf("%+v: verdict %s, fails: %v, images %v", c, check.Verdict, fails, check.Images)
		}
	}
}

// failingWriter fails at the second write.
type failingWriter struct{ writes int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.writes++; w.writes > 1 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	if err := Write(&failingWriter{}, sample(), "text", Style{}); err != os.ErrClosed {
		t.Errorf("Write returns %v, want the writer's error", err)
	}
}

// TestJSONNames: the names that users rely on.
func TestJSONNames(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, sample(), "json", Style{}); err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"schema_version", "model.path", "model.sha256", "model.producer", "model.opset", "model.parameters", "model.classes",
		"granularity", "calibration", "calibrated_temperature", "threshold_nats", "tests", "verdict", "images_needed", "undecided.layer", "undecided.images_needed", "fail_on", "on_undecided", "exit_code",
		"data.train", "data.train_n", "data.name", "data.val", "data.val_n", "data.sha256", "data.preprocess.name", "data.preprocess.source", "data.preprocess.mean", "data.preprocess.std", "data.preprocess.size",
		"metrics.loss", "metrics.calibrated_loss", "metrics.temperature.verdict", "metrics.error", "metrics.ece", "metrics.temperature.value", "metrics.temperature.delta_loss",
		"worst.by_delta_loss", "worst.by_transfer", "worst.by_kappa", "worst.set", "coverage", "violations", "complete",
		"provenance.version", "provenance.command", "provenance.seed", "provenance.device", "provenance.threads", "provenance.seconds", "provenance.peak_bytes",
		"layers.name", "layers.index", "layers.parameters", "layers.w_norm", "layers.g_norm", "layers.step", "layers.delta_loss", "layers.kappa", "layers.kappa_scaled",
		"layers.agreement", "layers.transfer.delta_loss", "layers.transfer.se", "layers.transfer.se_a", "layers.transfer.se_b", "layers.transfer.capped.b2", "layers.transfer.delta_loss_per_1000_parameters", "layers.transfer.ci95",
		"layers.verdict", "layers.train.loss_before", "layers.train.loss_after", "layers.train.slope", "layers.train.cosine", "layers.transfer.kappa", "layers.transfer.steps.a1", "layers.transfer.steps.b2",
		"layers.status", "layers.points", "layers.forward_evaluations",
	} {
		var at any = document
		for name := range strings.SplitSeq(path, ".") {
			if list, ok := at.([]any); ok {
				at = list[0]
			}
			value, ok := at.(map[string]any)[name]
			if !ok {
				t.Fatalf("%s is missing", path)
			}
			at = value
		}
	}
}
