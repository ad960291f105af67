package diag_test

import (
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/fixtures"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/nn"
)

// permuted are examples with each other's labels.
type permuted struct {
	nn.Examples
	of []int
}

func (p permuted) Label(i int) int { return p.Examples.Label(p.of[i]) }

// TestRandomLabels: on images with each other's labels no layer is called over the
// threshold, though moving almost any takes loss off unseen images by bringing
// the logits closer to 0.
func TestRandomLabels(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m := fixtures.Open(t, "model.onnx")
		validation := m.Part(t, cifar.Sample(), "validation[:200]")
		labels := permuted{validation, rand.New(rand.NewPCG(1, 0)).Perm(validation.Len())}
		layers := []diag.Layer{m.Layer(t, "blocks.5"), m.Layer(t, "head")}
		r, err := diag.Diagnose(t.Context(), m.Runner(t, graph.RunnerOptions{Device: on.Device}), labels, layers, diag.Options{Temperature: 1})
		if err != nil {
			t.Fatal(err)
		}
		above := 0
		for _, l := range r.Layers {
			if l.Transfer.Gain.CI95[0] > *r.Limit {
				above++
			}
			if l.Verdict != diag.Undecided || l.ImagesNeeded != nil {
				t.Errorf("%s is %+v", l.Name, l.Decision)
			}
		}
		drop := r.Metrics.Temperature
		if above == 0 || drop.Drop.CI95[0] <= *r.Limit {
			t.Fatalf("%d layers gain more than %v, and the temperature %v: nothing is tested", above, *r.Limit, drop.Drop)
		}
		if drop.Verdict != diag.Undecided || drop.ImagesNeeded != nil {
			t.Errorf("the temperature is %+v", drop.Decision)
		}
		if r.Verdict.Outcome != diag.Unclear || r.Verdict.Reason == "" || r.Verdict.ImagesNeeded != nil {
			t.Errorf("the model is %+v", r.Verdict)
		}
		for _, v := range r.Violations {
			if v.Rule == diag.RuleRecoverableLoss || v.Rule == diag.RuleTemperature || v.Rule == diag.RuleCalibrateFirst {
				t.Errorf("%+v", v)
			}
		}
	})
}
