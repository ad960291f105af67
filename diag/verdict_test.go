package diag

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"

	"github.com/google/go-cmp/cmp"
)

// healthy returns a report of a model with loss 2 in which no rule is breached,
// and what was found behind it.
func healthy() (*Report, *Findings) {
	loss, temperature := 2.0, 1.1
	r := &Report{
		Metrics: Metrics{
			Loss: &loss, StartLoss: &loss,
			Temperature: &Temperature{Value: &temperature, Drop: metric.NormalEstimate(0.005, 0.005)},
		},
		Complete: true, N: 100, Classes: 10, Calibration: Fitted, Temperature: temperature, Threshold: 0.01, Tests: 3, Coverage: 1,
	}
	for _, name := range []string{"embed", "block", "head"} {
		r.Layers = append(r.Layers, LayerResult{Name: name, Status: StatusOK, Transfer: transferFigure(0.005, 0.005)})
	}
	return r, &Findings{
		Checkpoint: &Checkpoint{Losses: make([]float64, 100), Hits: 60, Chance: 0.1, Present: 10},
		Layers:     make([]LayerFindings, 3), Middle: 50,
	}
}

func transferFigure(gain, se float64) *Transfer {
	return &Transfer{Gain: metric.NormalEstimate(gain, se)}
}

func TestRules(t *testing.T) {
	// The threshold is 0.02 nats; three layers are tested at once, so that the
	// corrected interval is 2.39 instead of 1.96 standard errors wide.
	breach := func(rule string, level Level, layer string) Violation {
		return Violation{Rule: rule, Level: level, Layer: layer}
	}
	tests := []struct {
		name   string
		change func(r *Report, f *Findings, opt *Options)
		model  Outcome
		want   []Violation // without messages
	}{
		{"healthy", func(*Report, *Findings, *Options) {}, Pass, nil},
		{"significant gain", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[1].Transfer = transferFigure(0.045, 0.01)
		}, Fail, []Violation{breach(RuleRecoverableLoss, LevelError, "block")}},
		{"significant gain but for the number of layers", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[1].Transfer = transferFigure(0.042, 0.01)
		}, Unclear, []Violation{breach(RuleRecoverableLoss, LevelWarning, "block")}},
		{"significant gain but for the number of layers of the model", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[1].Transfer = transferFigure(0.045, 0.01)
			r.Tests = 10
		}, Unclear, []Violation{breach(RuleRecoverableLoss, LevelWarning, "block")}},
		{"gain within its error", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[1].Transfer = transferFigure(0.039, 0.01)
		}, Unclear, nil},
		{"over-confident", func(r *Report, _ *Findings, _ *Options) {
			r.Metrics.Temperature.Drop = metric.NormalEstimate(0.5, 0.01)
		}, Fail, []Violation{breach(RuleTemperature, LevelError, "")}},
		{"over-confident, not calibrated", func(r *Report, _ *Findings, _ *Options) {
			r.Metrics.Temperature.Drop = metric.NormalEstimate(0.5, 0.01)
			r.Calibration = Raw
		}, Fail, []Violation{breach(RuleTemperature, LevelError, ""), breach(RuleCalibrateFirst, LevelInfo, "")}},
		{"over-confident but for the number of layers", func(r *Report, _ *Findings, _ *Options) {
			r.Metrics.Temperature.Drop = metric.NormalEstimate(0.042, 0.01)
		}, Unclear, []Violation{breach(RuleTemperature, LevelWarning, "")}},
		{"over-confident, and right about all", func(r *Report, _ *Findings, _ *Options) {
			r.Metrics.Error = new(float64)
			r.Metrics.Temperature.Drop = metric.NormalEstimate(0.5, 0.01)
		}, Unclear, []Violation{breach(RuleTemperature, LevelWarning, "")}},
		{"significant gain, and right about all", func(r *Report, _ *Findings, _ *Options) {
			r.Metrics.Error = new(float64)
			r.Layers[1].Transfer = transferFigure(0.5, 0.01)
		}, Unclear, []Violation{breach(RuleRecoverableLoss, LevelWarning, "block")}},
		{"right about all", func(r *Report, _ *Findings, _ *Options) { r.Metrics.Error = new(float64) }, Pass, nil},
		{"perhaps over-confident", func(r *Report, _ *Findings, _ *Options) {
			r.Metrics.Temperature.Drop = metric.NormalEstimate(0.02, 0.01)
		}, Unclear, nil},
		{"no best temperature", func(r *Report, _ *Findings, _ *Options) {
			r.Metrics.Temperature = &Temperature{Beyond: 1000, Drop: metric.NormalEstimate(0.5, 0.01)}
		}, Unclear, []Violation{breach(RuleTemperature, LevelWarning, "")}},
		{"chance", func(_ *Report, f *Findings, _ *Options) { f.Checkpoint.Hits = 12 },
			Unclear, []Violation{breach(RuleChance, LevelWarning, "")}},
		{"chance, and gains over the threshold", func(r *Report, f *Findings, _ *Options) {
			f.Checkpoint.Hits = 12
			r.Metrics.Temperature = &Temperature{Beyond: 1000, Drop: metric.NormalEstimate(0.5, 0.01)}
			r.Layers[1].Transfer = transferFigure(0.5, 0.01)
			r.Calibration = Unfitted
		}, Unclear, []Violation{breach(RuleChance, LevelWarning, "")}},
		{"coverage", func(_ *Report, _ *Findings, opt *Options) { opt.Coverage = 0.89 },
			Pass, []Violation{breach(RuleCoverage, LevelWarning, "")}},
		{"diverged and skipped", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[0] = LayerResult{Name: "embed", Status: StatusDiverged}
			r.Layers[2] = LayerResult{Name: "head", Status: StatusSkipped, Reason: "quantised"}
		}, Fail, []Violation{breach(RuleNotMeasured, LevelError, "embed"), breach(RuleNotMeasured, LevelWarning, "head")}},
		{"time limit", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[2] = LayerResult{Name: "head", Status: StatusSkipped, Reason: ReasonTimeLimit}
			r.Complete = false
		}, Unclear, nil},
		{"no transfer figure", func(r *Report, _ *Findings, _ *Options) { r.Layers[2].Transfer = nil },
			Unclear, []Violation{breach(RuleNotMeasured, LevelWarning, "head")}},
		{"flat", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[2] = LayerResult{Name: "head", Status: StatusFlat}
		}, Pass, nil},
		{"no move, and little noise", func(r *Report, f *Findings, _ *Options) {
			r.Layers[2].Transfer, f.Layers[2].Noise = &Transfer{Reason: reasonNoMove}, 0.01
		}, Pass, nil},
		{"no move, and noise that would hide the threshold", func(r *Report, f *Findings, _ *Options) {
			r.Layers[2].Transfer, f.Layers[2].Noise = &Transfer{Reason: reasonNoMove}, 0.011
		}, Unclear, nil},
		{"a small move, and noise that would hide the threshold", func(_ *Report, f *Findings, _ *Options) {
			f.Layers[2].Noise = 0.011
		}, Unclear, nil},
		{"few examples", func(r *Report, f *Findings, _ *Options) { r.N, f.Checkpoint.Hits = 31, 20 },
			Unclear, []Violation{breach(RuleFewExamples, LevelWarning, "")}},
		{"few classes", func(_ *Report, f *Findings, _ *Options) { f.Checkpoint.Present = 4 },
			Pass, []Violation{breach(RuleClasses, LevelWarning, "")}},
		{"one class", func(_ *Report, f *Findings, _ *Options) { f.Checkpoint.Present = 1 },
			Unclear, []Violation{breach(RuleClasses, LevelWarning, "")}},
		// Ten classes among 100 examples are worth 9/200 nats, among 1,000 a tenth of it.
		{"class shares left to chance", func(_ *Report, f *Findings, _ *Options) { f.Checkpoint.Spread = 2 },
			Pass, []Violation{breach(RuleClassShares, LevelWarning, "")}},
		{"as many of each class as possible", func(_ *Report, f *Findings, _ *Options) { f.Checkpoint.Spread = 1 }, Pass, nil},
		{"drawn by class from a split of chance", func(_ *Report, f *Findings, opt *Options) {
			f.Checkpoint.Spread, opt.DrawnFrom = 2, 1000
		}, Pass, []Violation{breach(RuleClassShares, LevelInfo, "")}},
		{"drawn by class from a large split", func(_ *Report, f *Findings, opt *Options) {
			f.Checkpoint.Spread, opt.DrawnFrom = 2, 10000
		}, Pass, nil},
		{"guessed preprocessing", func(_ *Report, _ *Findings, opt *Options) { opt.PreprocessDetected = true },
			Pass, []Violation{breach(RuleGuessedPreprocess, LevelInfo, "")}},
		{"a level that was asked for", func(r *Report, _ *Findings, opt *Options) {
			r.Layers[1].Transfer = transferFigure(0.045, 0.01)
			opt.Rules = map[string]RuleSetting{RuleRecoverableLoss: {Level: LevelWarning}}
		}, Unclear, []Violation{breach(RuleRecoverableLoss, LevelWarning, "block")}},
		{"a threshold of the temperature's own", func(r *Report, _ *Findings, opt *Options) {
			r.Metrics.Temperature.Drop = metric.NormalEstimate(0.5, 0.01)
			opt.Rules = map[string]RuleSetting{RuleTemperature: {Threshold: 0.3}}
		}, Pass, nil},
		{"accepted", func(r *Report, _ *Findings, opt *Options) {
			r.Layers[1].Transfer = transferFigure(0.045, 0.01)
			opt.Suppressions = []Suppression{{Rule: RuleRecoverableLoss, Layer: "bl*", Reason: "known"}}
		}, Pass, []Violation{{Rule: RuleRecoverableLoss, Level: LevelError, Layer: "block", Suppressed: "known"}}},
		{"accepted while undecided", func(r *Report, _ *Findings, opt *Options) {
			r.Layers[1].Transfer = transferFigure(0.039, 0.01)
			opt.Suppressions = []Suppression{{Rule: RuleRecoverableLoss, Layer: "block", Reason: "known"}}
		}, Pass, nil},
		{"accepted elsewhere", func(r *Report, _ *Findings, opt *Options) {
			r.Layers[1].Transfer = transferFigure(0.045, 0.01)
			opt.Suppressions = []Suppression{{Rule: RuleRecoverableLoss, Layer: "head", Reason: "known"}, {Rule: RuleTemperature, Layer: "block", Reason: "known"}}
		}, Fail, []Violation{breach(RuleRecoverableLoss, LevelError, "block")}},
		{"why", func(r *Report, _ *Findings, _ *Options) {
			r.Layers[0].Training, r.Layers[1].Training = &Training{Finding: OverFitted}, &Training{Finding: UnderTrained}
			r.Layers[2].Training = &Training{}
		}, Pass, []Violation{breach(RuleOverFitted, LevelInfo, "embed"), breach(RuleUnderTrained, LevelInfo, "block")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, found := healthy()
			var opt Options
			test.change(r, found, &opt)
			conclude(r, found, opt)
			if r.Verdict.Outcome != test.model {
				t.Errorf("verdict %+v, want %s", r.Verdict, test.model)
			}
			for i := range r.Violations {
				v := &r.Violations[i]
				if v.Message == "" {
					t.Error("a violation without a message")
				}
				if rule, ok := ExplainRule(v.Rule); !ok || !slices.Contains(rule.Levels, v.Level) {
					t.Errorf("%s at level %s is not explained", v.Rule, v.Level)
				}
				v.Message = ""
			}
			if !slices.Equal(r.Violations, test.want) {
				t.Errorf("violations %+v, want %+v", r.Violations, test.want)
			}
		})
	}
}

// TestSince: which breaches are new, from what the baseline had and what its intervals
// say.
func TestSince(t *testing.T) {
	before := func(gain float64, had ...Violation) *Prior {
		p := &Prior{Calibrated: true, SameExamples: func() bool { return false }, Layers: map[string]PriorFigure{}, Violations: had}
		for _, name := range []string{"embed", "block", "head"} {
			p.Layers[name] = PriorFigure{Estimate: metric.NormalEstimate(gain, 0.01)}
		}
		return p
	}
	had := Violation{Rule: RuleRecoverableLoss, Level: LevelWarning, Layer: "block"}
	notCalibrated := before(0.2, had)
	notCalibrated.Calibrated = false
	for _, c := range []struct {
		name  string
		prior *Prior
		want  Since
		worse bool
	}{
		// 0.2 now, with the same error: z·(0.01 + 0.01) is 0.048 for three layers.
		{"new", before(0.14), New, true},
		{"worse", before(0.14, had), Worse, true},
		{"known", before(0.16, had), Known, false},
		{"unproven", before(0.16), Unproven, false},
		{"no figure before", &Prior{Calibrated: true, SameExamples: func() bool { return false }}, New, false},
		{"other calibration", notCalibrated, New, false},
	} {
		r, found := healthy()
		r.Layers[1].Transfer = transferFigure(0.2, 0.01)
		conclude(r, found, Options{Prior: c.prior})
		var since Since
		var worse []string
		for _, v := range r.Violations {
			switch v.Rule {
			case RuleRecoverableLoss:
				since = v.Since
			case RuleRegression:
				worse = append(worse, v.Layer)
			}
		}
		if since != c.want || slices.Equal(worse, []string{"block"}) != c.worse {
			t.Errorf("%s: %s, worse %v; want %s, %v", c.name, since, worse, c.want, c.worse)
		}
	}
}

// TestImagesNeeded: an interval ends at the limit of 0.02 once it has shrunk, with
// the square root of the number of images, to the distance from it.
func TestImagesNeeded(t *testing.T) {
	z := bonferroni(3) // 2.394
	for _, c := range []struct {
		name   string
		gains  [3]float64 // with standard errors of 0.01 on 100 images
		layer  [3]Verdict
		needed [3]int // 0: nil
		model  int
	}{
		// (1.96·0.01/0.015)²·100 = 171
		{"all below", [3]float64{0.005, 0.01, -0.05}, [3]Verdict{Undecided, Undecided, Under}, [3]int{180, 390, 0}, 390},
		// One above the limit: the model will fail, once 2.394 errors are 0.01.
		{"one above", [3]float64{0.005, 0.03, -0.05}, [3]Verdict{Undecided, Undecided, Under}, [3]int{180, 390, 0}, 580},
		{"over, uncorrected", [3]float64{-0.05, 0.042, -0.05}, [3]Verdict{Under, Over, Under}, [3]int{}, 120},
		{"at the limit", [3]float64{-0.05, 0.02, -0.05}, [3]Verdict{Under, Undecided, Under}, [3]int{}, 0},
	} {
		r, found := healthy()
		r.Metrics.Temperature.Drop = metric.NormalEstimate(0, 0.001)
		for i, gain := range c.gains {
			r.Layers[i].Transfer = transferFigure(gain, 0.01)
		}
		conclude(r, found, Options{})
		number := func(n *int) int {
			if n == nil {
				return 0
			}
			return *n
		}
		for i, l := range r.Layers {
			if l.Verdict != c.layer[i] || number(l.ImagesNeeded) != c.needed[i] {
				t.Errorf("%s: %s is %s, %d images; want %s, %d", c.name, l.Name, l.Verdict, number(l.ImagesNeeded), c.layer[i], c.needed[i])
			}
			near(t, "corrected", l.Transfer.CorrectedLow, c.gains[i]-z*0.01, 1e-12, 1)
		}
		if r.Verdict.Outcome != Unclear || number(r.Verdict.ImagesNeeded) != c.model {
			t.Errorf("%s: the model is %s, %d images; want %d", c.name, r.Verdict.Outcome, number(r.Verdict.ImagesNeeded), c.model)
		}
	}
}

// TestImagesNeededByNone: no number of images makes a model fail by a rule that is set
// to a level that fails nothing.
func TestImagesNeededByNone(t *testing.T) {
	r, found := healthy()
	r.Metrics.Temperature.Drop = metric.NormalEstimate(0, 0.001)
	for i := range r.Layers {
		r.Layers[i].Transfer = transferFigure(0.1, 0.01)
	}
	conclude(r, found, Options{Rules: map[string]RuleSetting{RuleRecoverableLoss: {Level: LevelWarning}}})
	if r.Verdict.Outcome != Unclear || r.Verdict.ImagesNeeded != nil {
		t.Errorf("verdict %+v, want undecided without a number of images", r.Verdict)
	}
}

func TestFewExamplesNumber(t *testing.T) {
	for n, want := range map[int]string{1: "1 example is too few", 2: "2 examples are too few"} {
		if got := fewExamples(n); !strings.HasPrefix(got, want+" ") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestRulesAreExplained(t *testing.T) {
	rules := Rules()
	if !slices.IsSortedFunc(rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("rules are not in order of their IDs")
	}
	for _, r := range rules {
		if r.Title == "" || r.Meaning == "" || r.Misleads == "" || r.Remedy == "" || len(r.Levels) == 0 {
			t.Errorf("%s is not fully explained", r.ID)
		}
	}
	if _, ok := ExplainRule("MD000"); ok {
		t.Error("an unknown rule is explained")
	}
}

func TestWorst(t *testing.T) {
	r, found := healthy()
	low, high := 0.5, 3.0
	r.Layers[0].DeltaLoss, r.Layers[0].Kappa = 0.3, &low
	r.Layers[1].DeltaLoss, r.Layers[1].Kappa = 0.1, &high
	r.Layers[2].Transfer = transferFigure(0.011, 1)
	// block gains less than head on every example, embed more on some.
	gains := [3]func(i int) float64{
		func(i int) float64 { return 0.008 + 0.1*float64(i%2*2-1) },
		func(i int) float64 { return 0.009 + 0.1*float64(i/2%2*2-1) },
		func(i int) float64 { return 0.011 + 0.1*float64(i/2%2*2-1) },
	}
	for l, gain := range gains {
		for i := range 100 {
			found.Layers[l].Gains = append(found.Layers[l].Gains, float32(gain(i)))
		}
	}
	conclude(r, found, Options{})
	want := Worst{ByDeltaLoss: "embed", ByTransfer: "head", ByKappa: "block", Set: []string{"head", "embed"}}
	if diff := cmp.Diff(want, r.Worst); diff != "" {
		t.Error(diff)
	}
	// The same differences below 0: that no layer seems to gain tells none apart.
	for l := range r.Layers {
		for i := range found.Layers[l].Gains {
			found.Layers[l].Gains[i] -= 0.02
		}
		r.Layers[l].Transfer = transferFigure(float64(l-3)/100, 0.01)
	}
	conclude(r, found, Options{})
	want.ByTransfer, want.Set = "", []string{"head", "embed"}
	if diff := cmp.Diff(want, r.Worst); diff != "" {
		t.Errorf("where no layer gains: %s", diff)
	}
}

func TestDetect(t *testing.T) {
	m, _, right := newPerceptron(64)
	wrong := &samples{labels: right.labels}
	random := &samples{labels: right.labels}
	for i := range right.images {
		x := slices.Clone(right.images[i])
		x[0], x[1] = x[1]+1, x[0]
		wrong.images = append(wrong.images, x)
		random.images = append(random.images, right.images[(i+29)%64])
	}
	scores, err := Detect(t.Context(), nntest.On(m), []Candidate{{"wrong", wrong}, {"random", random}, {"right", right}})
	if err != nil {
		t.Fatal(err)
	}
	if scores[0].Name != "right" || len(scores) != 3 || *scores[0].Loss >= *scores[1].Loss {
		t.Errorf("scores %+v", scores)
	}
	if right.reads != 64 {
		t.Errorf("%d images read, want each once", right.reads)
	}
	scores, err = Detect(t.Context(), nntest.On(m), []Candidate{{"random", random}})
	var chance *ChanceError
	if len(scores) != 1 || !errors.As(err, &chance) || chance.Best.Name != "random" {
		t.Errorf("scores %+v, error %v", scores, err)
	}
}
