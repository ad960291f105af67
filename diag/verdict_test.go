package diag

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// healthy returns a report of a model with loss 2 in which no rule is breached,
// and the baseline behind it.
func healthy() (*Report, *baseline) {
	loss := 2.0
	r := &Report{
		Metrics: Metrics{
			Loss: &loss, StartLoss: &loss,
			Temperature: &Temperature{Value: 1.1, Drop: metric.NormalEstimate(0.01, 0.01)},
		},
		Complete: true, N: 100, Classes: 10, Threshold: 0.01, Coverage: 1,
	}
	for _, name := range []string{"embed", "block", "head"} {
		r.Layers = append(r.Layers, LayerResult{Name: name, Status: StatusOK, Transfer: transferFigure(0.01, 0.01)})
	}
	return r, &baseline{losses: make([]float64, 100), hits: 60, chance: 0.1, present: 10}
}

func transferFigure(gain, se float64) *Transfer {
	return &Transfer{Gain: metric.NormalEstimate(gain, se)}
}

func TestRules(t *testing.T) {
	// The threshold is 0.02 nats; three layers are tested at once, so that the
	// corrected interval is 2.39 instead of 1.96 standard errors wide.
	tests := []struct {
		name   string
		change func(r *Report, b *baseline, opt *Options)
		want   []Violation // without messages
	}{
		{"healthy", func(*Report, *baseline, *Options) {}, nil},
		{"significant gain", func(r *Report, _ *baseline, _ *Options) {
			r.Layers[1].Transfer = transferFigure(0.045, 0.01)
		}, []Violation{{Rule: RuleRecoverableLoss, Level: LevelError, Layer: "block"}}},
		{"significant gain but for the number of layers", func(r *Report, _ *baseline, _ *Options) {
			r.Layers[1].Transfer = transferFigure(0.042, 0.01)
		}, []Violation{{Rule: RuleRecoverableLoss, Level: LevelWarning, Layer: "block"}}},
		{"gain within its error", func(r *Report, _ *baseline, _ *Options) {
			r.Layers[1].Transfer = transferFigure(0.039, 0.01)
		}, nil},
		{"over-confident", func(r *Report, _ *baseline, _ *Options) {
			r.Metrics.Temperature = &Temperature{Drop: metric.NormalEstimate(0.5, 0.01)}
		}, []Violation{{Rule: RuleTemperature, Level: LevelWarning}, {Rule: RuleCalibrateFirst, Level: LevelInfo}}},
		{"over-confident, calibrated", func(r *Report, _ *baseline, _ *Options) {
			r.Metrics.Temperature = &Temperature{Drop: metric.NormalEstimate(0.5, 0.01)}
			r.Calibrated = true
		}, []Violation{{Rule: RuleTemperature, Level: LevelWarning}}},
		{"chance", func(_ *Report, b *baseline, _ *Options) { b.hits = 12 },
			[]Violation{{Rule: RuleChance, Level: LevelWarning}}},
		{"coverage", func(_ *Report, _ *baseline, opt *Options) { opt.Coverage = 0.89 },
			[]Violation{{Rule: RuleCoverage, Level: LevelWarning}}},
		{"diverged and skipped", func(r *Report, _ *baseline, _ *Options) {
			r.Layers[0] = LayerResult{Name: "embed", Status: StatusDiverged}
			r.Layers[2] = LayerResult{Name: "head", Status: StatusSkipped, Reason: "quantised"}
		}, []Violation{{Rule: RuleNotMeasured, Level: LevelError, Layer: "embed"}, {Rule: RuleNotMeasured, Level: LevelWarning, Layer: "head"}}},
		{"time limit", func(r *Report, _ *baseline, _ *Options) {
			r.Layers[2] = LayerResult{Name: "head", Status: StatusSkipped, Reason: reasonTimeLimit}
			r.Complete = false
		}, nil},
		{"no transfer figure", func(r *Report, _ *baseline, _ *Options) { r.Layers[2].Transfer = nil },
			[]Violation{{Rule: RuleNotMeasured, Level: LevelWarning, Layer: "head"}}},
		{"few classes", func(_ *Report, b *baseline, _ *Options) { b.present = 4 },
			[]Violation{{Rule: RuleClasses, Level: LevelWarning}}},
		{"guessed preprocessing", func(_ *Report, _ *baseline, opt *Options) { opt.PreprocessDetected = true },
			[]Violation{{Rule: RuleGuessedPreprocess, Level: LevelInfo}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, b := healthy()
			var opt Options
			test.change(r, b, &opt)
			conclude(r, b, opt)
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
	r, b := healthy()
	low, high := 0.5, 3.0
	r.Layers[0].DeltaLoss, r.Layers[0].Kappa = 0.3, &low
	r.Layers[1].DeltaLoss, r.Layers[1].Kappa = 0.1, &high
	r.Layers[2].Transfer = transferFigure(0.011, 1)
	conclude(r, b, Options{})
	if want := (Worst{ByDeltaLoss: "embed", ByTransfer: "head", ByKappa: "block"}); r.Worst != want {
		t.Errorf("worst %+v, want %+v", r.Worst, want)
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
