package diag_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/fixtures"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// TestScaleOfLogits: a model whose logits are multiplied by any number makes the
// same predictions, and what a temperature cannot repair is the same. Powers of
// two are exact; 1/2.357 is what the fixture's own temperature makes of it.
func TestScaleOfLogits(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m := fixtures.Open(t, "model.onnx")
		for _, direction := range []diag.Direction{diag.Line, diag.Balanced} {
			want := diagnoseScaled(t, on, m, direction)
			for _, s := range []float32{0.5, 2, 4, 1 / 2.357} {
				t.Run(fmt.Sprintf("%v by %.3g", direction, s), func(t *testing.T) {
					got := diagnoseScaled(t, on, m.Scaled(t, s), direction)
					// Of the loss. Lengths are estimates from losses whose rounding differs.
					const tolerance, lengthTolerance = 1e-6, 1e-5
					relative(t, "temperature", got.Temperature, want.Temperature*float64(s), 1e-6)
					relative(t, "loss", *got.Metrics.StartLoss, *want.Metrics.StartLoss, 1e-6)
					for i, l := range got.Layers {
						w := want.Layers[i]
						scale := *want.Metrics.StartLoss
						absolute(t, l.Name+" ΔL", l.DeltaLoss, w.DeltaLoss, tolerance*scale)
						absolute(t, l.Name+" ΔL̂", l.Transfer.Gain.Mean, w.Transfer.Gain.Mean, lengthTolerance*scale)
						absolute(t, l.Name+" ΔL̂'s standard error", l.Transfer.Gain.SE, w.Transfer.Gain.SE, lengthTolerance*scale)
						if l.Verdict != w.Verdict {
							t.Errorf("%s is %s, before %s", l.Name, l.Verdict, w.Verdict)
						}
					}
				})
			}
		}
	})
}

// TestRawScale: without calibration the same figures depend on the scale, so that
// the test above does not hold of itself.
func TestRawScale(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m := fixtures.Open(t, "model.onnx")
		layers := []diag.Layer{m.Layer(t, "blocks.5")}
		gain := func(m *fixtures.Model) float64 {
			r, err := diag.Diagnose(t.Context(), m.Runner(t, graph.RunnerOptions{Device: on.Device}), m.Part(t, cifar.Sample(), "validation[:100]"), layers, diag.Options{Temperature: 1})
			if err != nil {
				t.Fatal(err)
			}
			return r.Layers[0].DeltaLoss
		}
		if before, after := gain(m), gain(m.Scaled(t, 0.5)); after > 0.7*before {
			t.Errorf("raw ΔL is %v, at half the logits %v", before, after)
		}
	})
}

// diagnoseScaled diagnoses three layers on 100 images, at the temperature that fits.
// The weights that carry the factor weigh otherwise against those of the norm below
// them, which do not: only the balanced direction moves both alike.
func diagnoseScaled(t *testing.T, on testdevice.Backend, m *fixtures.Model, direction diag.Direction) *diag.Report {
	t.Helper()
	layers := []diag.Layer{m.Layer(t, "embed"), m.Layer(t, "blocks.5"), m.Layer(t, "module:head")}
	if direction == diag.Balanced {
		layers[2] = m.Layer(t, "block:head")
	}
	r, err := diag.Diagnose(t.Context(), m.Runner(t, graph.RunnerOptions{Device: on.Device}), m.Part(t, cifar.Sample(), "validation[:100]"), layers, diag.Options{Direction: direction})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
