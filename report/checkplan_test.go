package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
)

// raced are reports in which not all layers were searched, or a budget has decided.
func raced() map[string]*Check {
	report := func(p Plan, reasons ...string) *Check {
		d := diagnosis()
		d.Layers, d.Violations = d.Layers[:1], nil
		for _, reason := range reasons {
			d.Layers = append(d.Layers, diag.LayerResult{
				Name: "blocks." + string(rune('0'+len(d.Layers))), Parameters: 9, Status: diag.StatusSkipped, Reason: reason, TransferReason: reason,
				Forecast: pointer(0.01), Decision: diag.Decision{Verdict: diag.Undecided},
			})
		}
		d.Complete, d.Verdict = !p.Spent, diag.ModelVerdict{Outcome: diag.Unclear}
		d.Metrics.Temperature.Decision = diag.Decision{Verdict: diag.Under}
		c := checkOf(d)
		c.Plan, c.Verdict = &p, Unclear
		c.Judge(Gate{FailOn: "error", OnUndecided: UndecidedWarn})
		return c
	}
	return map[string]*Check{
		"race":    report(Plan{Images: 1000, Available: 1000, Searched: 1, Layers: 3, Flags: "--race 1"}, diag.ReasonNotSearched, diag.ReasonNotSearched),
		"budget":  report(Plan{Images: 96, Available: 1000, Searched: 1, Layers: 2, Budget: pointer(600.0), Flags: "--samples 96 --race 1"}, diag.ReasonNotSearched),
		"default": report(Plan{Images: 336, Available: 1000, Searched: 1, Layers: 2, Budget: pointer(1800.0), ByDefault: true, Flags: "--samples 336 --race 1"}, diag.ReasonNotSearched),
		"enough":  report(Plan{Images: 1000, Available: 1000, Searched: 1, Layers: 1, Budget: pointer(600.0)}),
		"spent":   report(Plan{Images: 96, Available: 1000, Searched: 2, Layers: 3, Budget: pointer(90.0), Spent: true, Flags: "--samples 96 --race 2"}, diag.ReasonNotSearched, diag.ReasonTimeLimit),
	}
}

// TestPlan: a report says what was planned, how to repeat it, and what is missing.
func TestPlan(t *testing.T) {
	for name, want := range map[string][]string{
		"race":    {"plan 1,000 of 1,000 images", "1 of 3 layers searched", "UNDECIDED 2 of 3 layers not searched, and may be over", "◀ among the layers that were searched"},
		"budget":  {"96 of 1,000 images", "budget 10m0s, without it: --samples 96 --race 1", "1 of 2 layers not searched"},
		"default": {"336 of 1,000 images", "budget 30m0s by default, without it: --samples 336 --race 1"},
		"enough":  {"all of 1 layer", "budget 10m0s, which was enough for all"},
		"spent":   {"budget 1m30s, which was spent before that was done", "1 of 3 layers not searched", "the budget was spent before 1 layer could be measured"},
	} {
		c := raced()[name]
		if c.Verdict != Unclear {
			t.Errorf("%s: the verdict is %s", name, c.Verdict)
		}
		for _, format := range []string{"text", "markdown", "html"} {
			var out bytes.Buffer
			if err := Write(&out, c, format, Style{}); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(out.String()), " ") // on one line
			for _, part := range want {
				if format != "text" {
					part = strings.TrimPrefix(strings.TrimPrefix(part, "plan "), "UNDECIDED ")
				}
				if !strings.Contains(text, part) {
					t.Errorf("%s: the %s has no %q", name, format, part)
				}
			}
			if strings.Contains(text, "either side") {
				t.Errorf("%s: in the %s a layer that was not searched counts as measured", name, format)
			}
		}
	}
	if c := raced()["spent"]; c.Complete {
		t.Error("a report whose budget was spent is complete")
	}
}
