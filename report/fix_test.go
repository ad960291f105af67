package report

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/google/go-cmp/cmp"
)

// estimate is a mean with its interval.
func estimate(mean, se float64) *metric.Estimate {
	e := metric.NormalEstimate(mean, se)
	return &e
}

func treatmentData() TreatmentData {
	return TreatmentData{
		Name: "built-in CIFAR-100 sample", Train: Part{Name: "train", N: 2000}, Validation: Part{Name: "test (first half)", N: 1000}, Holdout: Part{Name: "test (second half)", N: 2000},
		Augment: "none", Views: 1,
		Preprocess: Preprocess{Name: "preprocessor_config.json", Source: "fixtures/vit-cifar100/preprocessor_config.json", Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.25, 0.25, 0.25}, Size: [2]int{32, 32}},
	}
}

// treatment is what a treatment does, and comes to.
type treatment struct {
	Model      Model
	Data       TreatmentData
	plan       recipe
	result     *pol.Result
	Output     *Output
	Instead    []string
	Seen       bool
	Trial      bool
	Forced     bool
	PeakBytes  int64
	Provenance Provenance
}

type recipe struct {
	name            string
	perturb, update []TreatedLayer
	chosenBy        string
	options         pol.Options
}

// report is the result of the command fix.
func (t *treatment) report() *Fix {
	f := NewFix(t.result)
	f.Model, f.Data, f.Output, f.Forced, f.Trial, f.PeakBytes, f.Provenance = t.Model, t.Data, t.Output, t.Forced, t.Trial, t.PeakBytes, t.Provenance
	f.Recipe, f.Instead, f.HoldoutSeen = t.plan.report(t.Data), t.Instead, t.Seen
	if f.Judge() {
		f.ExitCode = 1
	}
	return f
}

func (r *recipe) report(d TreatmentData) Recipe {
	var layers []TreatedLayer
	for _, l := range r.perturb {
		l.Role = RolePerturb
		layers = append(layers, l)
	}
	for _, l := range r.update {
		l.Role = RoleUpdate
		layers = append(layers, l)
	}
	return NewRecipe(r.name, layers, r.chosenBy, r.options, d)
}

// recipeOf is a recipe with the hyperparameters that it has by default where its layers
// are named.
func recipeOf(t *testing.T, name string, perturb, update []TreatedLayer) recipe {
	t.Helper()
	r, err := pol.FindRecipe(name)
	if err != nil {
		t.Fatal(err)
	}
	return recipe{name: name, perturb: perturb, update: update, options: pol.DefaultOptions(r.Perturbing(r.Perturb))}
}

func namedLayers(names ...string) []TreatedLayer {
	var layers []TreatedLayer
	for _, name := range names {
		layers = append(layers, TreatedLayer{Name: name, Parameters: 1000})
	}
	return layers
}

// written is a treatment that was accepted.
func written(t *testing.T) *treatment {
	plan := recipeOf(t, "pol",
		[]TreatedLayer{{Name: "embed", Parameters: 20256, Kappa: pointer(1.635)}},
		[]TreatedLayer{{Name: "head", Parameters: 9892, DeltaLoss: pointer(0.207), SE: pointer(0.0279)}})
	plan.chosenBy = ChosenByDiagnosis
	epoch := func(n, rejected int, train *float64, loss, wrong float64) pol.Epoch {
		return pol.Epoch{
			Number: n, Rate: 0.0133, Steps: 15, Rejected: rejected, TrainLoss: train, Validation: metric.Figures{Loss: loss, Error: wrong, ECE: 0.21},
			Duration: 12100 * time.Millisecond, Scanning: 9438 * time.Millisecond,
		}
	}
	return &treatment{
		plan:  plan,
		Model: Model{Path: "models/model.onnx", SHA256: strings.Repeat("00ff", 16), Producer: "pytorch 2.15.0+cu132", Opset: 20, IRVersion: 10, Parameters: 701188, Classes: 100, Family: "ViT, 6 blocks"},
		Data:  treatmentData(),
		result: &pol.Result{
			Holdout: 2000,
			Epochs:  []pol.Epoch{epoch(1, 0, pointer(4.5121), 4.1319, 0.801), epoch(2, 1, pointer(4.2213), 3.9841, 0.791), epoch(3, 15, nil, 3.9902, 0.793)},
			Best:    2,
			Before:  metric.Figures{Loss: 4.5937, Error: 0.821, ECE: 0.3463}, After: &metric.Figures{Loss: 4.0087, Error: 0.806, ECE: 0.2014},
			Gain: estimate(0.585, 0.0235), ErrorDrop: estimate(0.015, 0.0041),
			Temperature: &pol.Temperature{Value: 1.3143, Loss: 4.4813, Drop: *estimate(0.1124, 0.0132)},
			Beyond:      estimate(0.4726, 0.0191),
			TrainedAt:   1.3143,
			Pace: &pol.Pace{
				Best: 0.5312, Curvature: 0.02113, Examples: 512, Before: 3.4871,
				Runs:  []pol.TrialRun{{Rate: 0.05312, Steps: 15, Loss: pointer(3.4412)}, {Rate: 0.2125, Steps: 15, Loss: pointer(3.4123)}, {Rate: 0.85, Steps: 3}, {Rate: 0.1062, Steps: 15, Loss: pointer(3.4201)}},
				First: 0.2125, Rate: 0.05312, Undone: 1, Restarted: 1,
			},
			Trained: 9892, Steps: 45, Scans: pol.Scans{Evaluations: 811, Share: 0.78},
			Cache: pol.Cache{Neck: 0, Bytes: 36_864_000, Place: nn.OnDevice},
		},
		Output:     NewOutput("out/fixed.onnx", strings.Repeat("1e", 32), 39844, "", nil),
		PeakBytes:  412_000_000,
		Provenance: Provenance{Version: "v0", Command: []string{"modeldoctor", "fix"}, Seed: 0, Device: "cpu amd64", Threads: 2, Seconds: 95.4, PeakBytes: 1 << 29},
	}
}

// refused is a treatment of memorised images, which helps nothing.
func refused(t *testing.T) *treatment {
	f := written(t)
	f.Output = nil
	f.plan.perturb, f.plan.chosenBy = []TreatedLayer{{Name: "head", Parameters: 9892}}, "reports/check.json"
	f.plan.options.GammaMax, f.plan.options.PerturbEvery, f.plan.options.Momentum, f.plan.options.Temperature = 8, 4, 0, 2.5
	f.result.TrainedAt, f.result.Pace = 2.5, &pol.Pace{First: 0.05, Rate: 0.05}
	f.result.After = &metric.Figures{Loss: 4.6147, Error: 0.8205, ECE: 0.3499}
	f.result.Gain, f.result.ErrorDrop = estimate(-0.021, 0.00255), estimate(-0.0105, 0.001)
	f.result.Temperature = &pol.Temperature{Value: 2.3573, Loss: 3.4663, Drop: *estimate(1.1274, 0.0432)}
	f.result.Beyond = estimate(-1.1484, 0.0441)
	f.Instead = []string{"modeldoctor", "fix", "--recipe", "temperature", "--data=cifar-100", "models/model.onnx", "-o", "out/fixed.onnx"}
	f.Seen = true
	f.result.Cache = pol.Cache{Neck: 13, Bytes: 1_254_400_000, Place: nn.InFile}
	return f
}

// diverged is a treatment without a complete epoch, from a model whose names
// are hostile.
func diverged(t *testing.T) *treatment {
	f := written(t)
	f.Output = nil
	f.Model.Path = "models/a model\x1b[31m.onnx"
	f.plan = recipeOf(t, "sam", namedLayers("embed", "blocks.0", "blocks.1", "head\x1b[0m"), namedLayers("embed", "blocks.0", "blocks.1", "head\x1b[0m"))
	f.plan.options.Rate, f.result.Pace = 300, nil
	f.plan.options.NoCache = true
	r := f.result
	r.Epochs, r.Best, r.Steps, r.Scans, r.Cache = nil, 0, 0, pol.Scans{}, pol.Cache{}
	r.After, r.Gain, r.ErrorDrop, r.Beyond = nil, nil, nil, nil
	r.Stopped = "epoch 1, after 3 steps: the loss of a batch is not finite"
	return f
}

// forced is a treatment that stopped early and was written against the rule, in
// place and with data files.
func forced(t *testing.T) *treatment {
	f := written(t)
	f.plan = recipeOf(t, "sgd", nil, namedLayers("blocks.4", "blocks.5", "head"))
	f.plan.options.Temperature = 1
	f.result.TrainedAt, f.result.Pace = 1, &pol.Pace{
		Curvature: 2, Examples: 40, Before: 3.4871, Runs: []pol.TrialRun{{Rate: 0.0005, Steps: 1, Loss: pointer(3.4882)}}, First: 0.0005, Rate: 0.0005,
	}
	f.Data.Augment, f.Data.Views = "flip-crop", 8
	f.Model.SoftmaxRemoved = true
	r := f.result
	r.Cache.Place = nn.OnHost
	r.Epochs, r.Best, r.Stopped = r.Epochs[:2], 1, "epoch 3, after 0 steps: the loss of a batch is not finite"
	r.Gain, r.ErrorDrop = estimate(0.02, 0.0151), estimate(-0.0015, 0.002)
	r.After = &metric.Figures{Loss: 4.5737, Error: 0.8225, ECE: 0.3463}
	r.Temperature, r.Beyond = &pol.Temperature{Value: 1.05, Loss: 4.59, Drop: *estimate(0.0037, 0.0001)}, estimate(0.0163, 0.0151)
	f.Forced = true
	f.Output = NewOutput(f.Model.Path, f.Output.SHA256, f.Output.BytesChanged, f.Model.Path+".bak", []onnx.DataFile{
		{Location: "weights.bin", Path: "models/weights.bin", Size: 2_853_123},
		{Location: "data/more.bin", Path: "models/data/more.bin", Size: 921, Copied: true},
	})
	return f
}

// scaled is the temperature by itself.
func scaled(t *testing.T) *treatment {
	f := written(t)
	f.plan = recipeOf(t, "temperature", nil, nil)
	f.result.TrainedAt, f.result.Pace = 2.3573, nil
	r := f.result
	r.Epochs, r.Best, r.Steps, r.Trained, r.Scans = nil, 0, 0, 0, pol.Scans{}
	r.Temperature = &pol.Temperature{Value: 2.3573, Loss: 3.4663, Drop: *estimate(1.1274, 0.0432)}
	r.Gain, r.Beyond, r.ErrorDrop, r.After = &r.Temperature.Drop, nil, estimate(0, 0), &metric.Figures{Loss: 3.4663, Error: 0.821, ECE: 0.0428}
	r.Cache = pol.Cache{Neck: 13, Bytes: 256_000, Place: nn.OnDevice}
	return f
}

// trial is a treatment that would be written.
func trial(t *testing.T) *treatment {
	f := written(t)
	f.Output, f.Trial = nil, true
	f.plan = recipeOf(t, "pof", namedLayers("head"), namedLayers("embed", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5"))
	loss, err := metric.ParseLoss("smooth:0.3")
	if err != nil {
		t.Fatal(err)
	}
	f.plan.options.Loss, f.plan.options.Schedule, f.plan.options.Seed = loss, pol.Constant, 7
	f.result.Temperature, f.result.Beyond = nil, nil
	return f
}

// planned is a treatment with what it is expected to cost, and a cheaper one.
type planned struct {
	*treatment
	cost     pol.Cost
	cheapest *CheaperPlan
}

// report is the result of the command fix --dry-run.
func (p *planned) report() *FixPlan {
	f := p.treatment
	recipe, cost := f.plan.report(f.Data), NewCost(&p.cost, f.plan.options.Epochs)
	return &FixPlan{
		Model: f.Model, Data: f.Data, Recipe: &recipe, Cost: &cost,
		Cheapest: p.cheapest, Provenance: f.Provenance,
	}
}

// plan is the plan of the treatment that was accepted.
func plan(t *testing.T) *planned {
	f := written(t)
	cost := pol.Cost{
		Cache: pol.Cache{Bytes: 36_864_000, Place: nn.OnDevice}, Steps: 45, CacheTime: 60 * time.Millisecond, StepTime: 2100 * time.Millisecond, ScanShare: 0.78,
		ValidationTime: 800 * time.Millisecond, HoldoutTime: 3 * time.Second,
	}
	cheap := cost
	cheap.Cache = pol.Cache{Neck: 13, Bytes: 99_840_000, Place: nn.InFile}
	cheap.CacheTime, cheap.StepTime, cheap.ScanShare = 3*time.Second, 50*time.Millisecond, 0.5
	head := []string{"head"}
	return &planned{f, cost, &CheaperPlan{Perturb: head, Update: head, Cost: NewCost(&cheap, f.plan.options.Epochs)}}
}

// simplePlan is a plan without a search, a cheaper one or a cache.
func simplePlan(t *testing.T) *planned {
	f := plan(t)
	f.plan = recipeOf(t, "sgd", nil, namedLayers("embed", "blocks.0", "blocks.1", "head"))
	f.cost.Cache, f.cost.CacheTime, f.cost.ScanShare, f.cheapest = pol.Cache{}, 0, 0, nil
	return f
}

// temperaturePlan is a plan that trains nothing.
func temperaturePlan(t *testing.T) *planned {
	f := plan(t)
	f.plan = recipeOf(t, "temperature", nil, nil)
	f.cost.Steps, f.cost.StepTime, f.cost.ScanShare, f.cheapest = 0, 0, 0, nil
	return f
}

// treatments are of every outcome.
func treatments(t *testing.T) map[string]*treatment {
	return map[string]*treatment{"fix": written(t), "fix-refused": refused(t), "fix-diverged": diverged(t), "fix-forced": forced(t), "fix-temperature": scaled(t), "fix-trial": trial(t), "fix-error": mended(t), "fix-error-refused": notMended(t)}
}

func fixes(t *testing.T) map[string]*Fix {
	fixes := map[string]*Fix{}
	for name, f := range treatments(t) {
		fixes[name] = f.report()
	}
	return fixes
}

func plans(t *testing.T) map[string]*FixPlan {
	return map[string]*FixPlan{"plan": plan(t).report(), "plan-sgd": simplePlan(t).report(), "plan-temperature": temperaturePlan(t).report()}
}

func TestFixGoldenFiles(t *testing.T) {
	files := map[string]func(*bytes.Buffer) error{
		"fix-color.txt":         func(b *bytes.Buffer) error { return Write(b, written(t).report(), "text", Style{Color: true}) },
		"fix-refused-color.txt": func(b *bytes.Buffer) error { return Write(b, refused(t).report(), "text", Style{Color: true}) },
	}
	for name, f := range fixes(t) {
		files[name+".txt"] = func(b *bytes.Buffer) error { return Write(b, f, "text", Style{}) }
		files[name+".json"] = func(b *bytes.Buffer) error { return Write(b, f, "json", Style{}) }
	}
	for name, f := range plans(t) {
		files[name+".txt"] = func(b *bytes.Buffer) error { return Write(b, f, "text", Style{}) }
		files[name+".json"] = func(b *bytes.Buffer) error { return Write(b, f, "json", Style{}) }
	}
	checkGolden(t, files)
}

// checkWidth reports lines that a terminal would break, and what would control
// it.
func checkWidth(t *testing.T, name, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := columns(strings.TrimSuffix(line, "\n")); n > lineColumns {
			t.Errorf("%s: %d columns, want at most %d: %s", name, n, lineColumns, line)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("%s: an escape sequence of a name is printed", name)
	}
}

func TestFixWidth(t *testing.T) {
	var text bytes.Buffer
	long := written(t)
	long.plan.perturb = namedLayers("module:encoder.layers.encoder_layer_11.self_attention.in_proj", "module:encoder.layers.encoder_layer_10.self_attention.in_proj", "x")
	long.Data.Name = strings.Repeat("a long name ", 12)
	all := fixes(t)
	all["long"] = long.report()
	for name, f := range all {
		text.Reset()
		if err := Write(&text, f, "text", Style{}); err != nil {
			t.Fatal(err)
		}
		checkWidth(t, name, text.String())
	}
	for name, f := range plans(t) {
		text.Reset()
		if err := Write(&text, f, "text", Style{}); err != nil {
			t.Fatal(err)
		}
		checkWidth(t, name, text.String())
	}
}

// TestFixVerdict: the line of verdict says plainly what became of a treatment.
func TestFixVerdict(t *testing.T) {
	command := []string{"modeldoctor", "fix", "--recipe", "temperature", "a model.onnx", "-o", "OUT"}
	for name, c := range map[string]struct {
		change func(f *treatment)
		want   string
		hint   bool // at a temperature
	}{
		"accepted":     {func(*treatment) {}, "DONE  fixed.onnx   hold-out loss 4.594 → 4.009 (down 0.585 ± 0.046)   39,844 bytes changed", false},
		"harm":         {func(f *treatment) { f.Output, f.Instead, f.result.Gain = nil, command, estimate(-0.021, 0.0025) }, "FAIL  model.onnx   nothing was written: the hold-out loss has risen by 0.021 ± 0.005", true},
		"chance":       {func(f *treatment) { f.Output, f.result.Gain = nil, estimate(0.021, 0.025) }, "FAIL  model.onnx   nothing was written: the hold-out loss has fallen by 0.021 ± 0.049, which may be chance", false},
		"no change":    {func(f *treatment) { f.Output, f.result.Gain = nil, estimate(0, 0) }, "nothing was written: the loss of every hold-out image changes by the same, so that there is no telling chance apart; the hold-out loss has not fallen (change 0.000 ± 0.000)", false},
		"perhaps harm": {func(f *treatment) { f.Output, f.result.Gain = nil, estimate(-0.001, 0.01) }, "nothing was written: the hold-out loss has not fallen (change +0.001 ± 0.020)", false},
		"no more than a temperature": {func(f *treatment) { f.Output, f.Instead, f.result.Beyond = nil, command, estimate(-0.02, 0.02) },
			"nothing was written: the hold-out loss is not significantly lower than with the temperature alone (change from there +0.020 ± 0.039)", true},
		"error higher":   {func(f *treatment) { f.Output, f.result.ErrorDrop = nil, estimate(-0.03, 0.01) }, "nothing was written: the hold-out error has risen by 3.0 ± 2.0 points", false},
		"too few images": {func(f *treatment) { f.Output, f.result.Holdout, f.Data.Holdout.N = nil, 499, 499 }, "nothing was written: 499 hold-out images cannot decide, at least 500 are needed", false},
		"not finite":     {func(f *treatment) { f.Output, f.result.Gain = nil, estimate(math.NaN(), math.NaN()) }, "nothing was written: the model's hold-out loss is not finite", false},
		"no temperature is best": {func(f *treatment) {
			f.Output, f.result.Beyond, f.result.TrainedAt, f.result.Temperature.Value = nil, nil, 1000, 1000
		}, "nothing was written: no temperature is best: the validation loss falls beyond 1000, the end of the range, because every answer is right or all are useless", false},
		"no temperature": {func(f *treatment) {
			f.Output, f.result.Gain, f.result.Temperature, f.result.Beyond = nil, estimate(-1, 0.01), nil, nil
		}, "nothing was written: the hold-out loss has risen", false},
		"not finite before": {func(f *treatment) {
			f.Output, f.result.Gain, f.result.After, f.result.Beyond, f.result.Stopped = nil, nil, nil, nil, "the loss of a batch is not finite"
			f.result.Before, f.result.Temperature.Drop = metric.Figures{Loss: math.NaN(), Error: 1, ECE: math.NaN()}, *estimate(math.NaN(), math.NaN())
		}, "nothing was written: the treatment diverged (the loss of a batch is not finite)", false},
		"trial":         {func(f *treatment) { f.Output, f.Trial = nil, true }, "DONE  model.onnx   trial, nothing written: hold-out loss 4.594 → 4.009", false},
		"refused trial": {func(f *treatment) { f.Output, f.Trial, f.result.Gain = nil, true, estimate(-1, 0.01) }, "FAIL  model.onnx   trial, and nothing would be written: the hold-out loss has risen by 1.000 ± 0.020", false},
		"forced":        {func(f *treatment) { f.Forced, f.result.Gain = true, estimate(-1, 0.01) }, "FORCED  fixed.onnx   written, as --force demands, although the hold-out loss has risen by 1.000 ± 0.020", false},
	} {
		changed := written(t)
		c.change(changed)
		f := changed.report()
		var text bytes.Buffer
		if err := Write(&text, f, "text", Style{}); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(strings.Fields(text.String()), " ")
		if want := strings.Join(strings.Fields(c.want), " "); !strings.Contains(got, want) {
			t.Errorf("%s: %q is missing in\n%s", name, want, &text)
		}
		if hint := strings.Contains(got, "`modeldoctor fix --recipe temperature 'a model.onnx' -o OUT`"); hint != c.hint {
			t.Errorf("%s: hint at a temperature %v, want %v", name, hint, c.hint)
		}
		var document bytes.Buffer
		if err := Write(&document, f, "json", Style{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(text.String(), "NaN") || strings.Contains(document.String(), "NaN") {
			t.Errorf("%s: a NaN is printed:\n%s%s", name, &text, &document)
		}
	}
}

// TestReadFix: compare reads what fix has printed.
func TestReadFix(t *testing.T) {
	for name, want := range fixes(t) {
		var text bytes.Buffer
		if err := Write(&text, want, "json", Style{}); err != nil {
			t.Fatal(err)
		}
		read, err := ReadFix(&text)
		if err != nil {
			t.Fatal(err)
		}
		want.Schema = SchemaVersion
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestHintsUnbroken: a command in a hint stays on one line.
func TestHintsUnbroken(t *testing.T) {
	var text bytes.Buffer
	command := "`modeldoctor check 'a model.onnx'`"
	p := &printer{w: &text}
	p.hint(strings.Repeat("word ", 15) + command + " says more")
	want := "hint: " + strings.TrimSpace(strings.Repeat("word ", 15)) + "\n      " + command + " says more\n"
	if diff := cmp.Diff(want, text.String()); diff != "" || p.err != nil {
		t.Errorf("%v %s", p.err, diff)
	}
}

func TestFixWriteError(t *testing.T) {
	for name, print := range map[string]func(w *failingWriter) error{
		"fix":  func(w *failingWriter) error { return Write(w, written(t).report(), "text", Style{}) },
		"plan": func(w *failingWriter) error { return Write(w, plan(t).report(), "text", Style{}) },
	} {
		if err := print(&failingWriter{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s returns %v, want the writer's error", name, err)
		}
	}
}
