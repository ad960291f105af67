package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// gated are checks that were compared with a baseline, by what is new in them.
func gated() map[string]*Check {
	compared := func(since diag.Since) *Check {
		d := diagnosis()
		for i := range d.Violations {
			d.Violations[i].Since = diag.Known
		}
		d.Violations[0].Since = since
		d.Metrics.LossSE, d.Metrics.Losses = pointer(0.1), []float32{4, 5}
		d.Layers[6].Transfer.Gains = []float32{0.125, -0.5}
		d.TemperatureLimit = pointer(0.17)
		return checkOf(d)
	}
	gates := map[string]*Check{"nothing new": compared(diag.Unproven), "new": compared(diag.New)}
	for _, c := range gates {
		c.Rules = []RuleSetting{{Rule: "MD002", Threshold: pointer(0.05)}, {Rule: "MD006", Level: diag.LevelError}}
		c.Baseline = NewBaseline(c, "baseline.json", sample(), changes())
		c.ExitCode = 0
		if c.Judge(Gate{FailOn: "error", FailOnNew: true, OnUndecided: UndecidedWarn}) {
			c.ExitCode = 1
		}
	}
	d := diagnosis()
	d.Violations = d.Violations[:1]
	d.Violations[0].Suppressed, d.Verdict = "it is known", diag.ModelVerdict{Outcome: diag.Pass}
	d.Suppressions = []diag.Suppression{
		{Rule: diag.RuleRecoverableLoss, Layer: "層*", Reason: "it is known", Until: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), Matches: 1},
		{Rule: diag.RuleTemperature, Reason: "calibrated later"},
	}
	gates["suppressed"] = checkOf(d)
	return gates
}

// changes are one for the worse, one that cannot be told, and one of chance.
func changes() []diag.Change {
	return []diag.Change{
		{Quantity: diag.LayerGain, Layer: "head", Before: metric.NormalEstimate(0.1, 0.02), After: metric.NormalEstimate(0.207, 0.0279), Increase: metric.NormalEstimate(0.107, 0.01), Paired: true, CorrectedLow: 0.08, Worse: true},
		{Quantity: diag.LayerGain, Layer: "embed", Reason: "the baseline has no figure of this layer"},
		{Quantity: diag.TemperatureDrop, Before: metric.NormalEstimate(1, 0.06), After: metric.NormalEstimate(1.0763, 0.0616), Increase: metric.NormalEstimate(0.0763, 0.12), CorrectedLow: -0.2},
	}
}

// several is a report of a model that fails and one that cannot be read.
func several() *Checks {
	return &Checks{Models: []CheckedModel{
		{Path: "models/vit.onnx", Check: sample(), ExitCode: 1},
		{Path: "models/odd\x1b.onnx", Error: "byte 3: cut off", Hint: "copy it again", ExitCode: 3},
		{Path: "models/late.onnx", Error: "models/late.onnx: the time limit came before anything of it was measured", Unfinished: true, ExitCode: 4},
	}, ExitCode: 4}
}

// TestGate: what a gate says and which exit status it asks for.
func TestGate(t *testing.T) {
	for _, c := range []struct {
		name string
		exit int
		has  []string
	}{
		{"nothing new", 0, []string{"MD001 error: a layer holds loss that can be recovered (層�[31m), not in the baseline, but not significantly more", "exit status 0 (--fail-on-new: nothing is new)", "MD002 is breached from 5 % on (--rule)", "MD006 counts as error (--rule)", "compared with baseline.json (vit.onnx), on the same images: 2 figures, 1 of them image by image; 1 significantly higher"}},
		{"new", 1, []string{"(層�[31m), new", "exit status 1", "[known from the baseline]", "MD005 error exit status 1"}},
		{"suppressed", 0, []string{"[suppressed (it is known)]", "but for 1 suppressed finding, all 7 layers", "1 suppressed temperature over", "the suppression of MD002 (calibrated later) matches nothing: it can go"}},
	} {
		check := gated()[c.name]
		var out bytes.Buffer
		if err := Write(&out, check, "text", Style{Width: 120}); err != nil {
			t.Fatal(err)
		}
		if check.ExitCode != c.exit {
			t.Errorf("%s: exit status %d, want %d", c.name, check.ExitCode, c.exit)
		}
		words := strings.Join(strings.Fields(out.String()), " ") // lines are broken anywhere
		for _, want := range c.has {
			if !strings.Contains(words, want) {
				t.Errorf("%s: %q is missing in\n%s", c.name, want, out.String())
			}
		}
	}
}

// TestUndecidedBesideKnown: where all that fails is known, --on-undecided still asks for
// a decision on the rest, unless that is suppressed.
func TestUndecidedBesideKnown(t *testing.T) {
	judged := func(gate Gate, accepted ...Suppression) *Check {
		c := gated()["nothing new"]
		c.Suppressions = accepted
		if c.ExitCode = 0; c.Judge(gate) {
			c.ExitCode = 1
		}
		return c
	}
	asking := Gate{FailOn: "error", FailOnNew: true, OnUndecided: UndecidedFail}
	asked := judged(asking)
	for format, want := range map[string]string{"text": "exit status 1 (--on-undecided fail: nothing that fails is new", "junit": `<failure type="undecided.error" message="1 of 7 layers may lie on either side`} {
		var out bytes.Buffer
		if err := Write(&out, asked, format, Style{Width: 120}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("%s: %q is missing in\n%s", format, want, out.String())
		}
	}
	if asked.Verdict != Fail || asked.ExitCode != 1 {
		t.Errorf("verdict %s, exit status %d, want FAIL, 1", asked.Verdict, asked.ExitCode)
	}
	never := asking
	never.FailOn = FailNever
	warned := asking
	warned.OnUndecided = UndecidedWarn
	for name, c := range map[string]*Check{"suppressed": judged(asking, Suppression{Rule: diag.RuleRecoverableLoss, Layer: "neck"}), "never": judged(never), "warn": judged(warned)} {
		if c.ExitCode != 0 {
			t.Errorf("%s: exit status %d, want 0", name, c.ExitCode)
		}
	}
}

// TestSeveral: neither a model that cannot be read nor one that was not reached hides another.
func TestSeveral(t *testing.T) {
	for _, format := range Formats(&Checks{}) {
		var out bytes.Buffer
		if err := Write(&out, several(), format, Style{Width: 100}); err != nil {
			t.Fatal(err)
		}
		wants := []string{"MD001", "byte 3: cut off"}
		if format == "text" || format == "markdown" {
			wants = append(wants, "copy it again", "3 models: 1 ERROR, 1 INCOMPLETE, 1 FAIL", "INCOMPLETE", "exit status 4")
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", format, want, out.String())
			}
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: a name controls the terminal", format)
		}
	}
}
