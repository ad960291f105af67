package diag_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/fixtures"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// TestPlantedRegression moves a layer of the reference model uphill: against a
// baseline of the same images that layer is worse, and named first, though others could
// give back a part of what it has lost. The model itself is not worse than that
// baseline on other images.
func TestPlantedRegression(t *testing.T) {
	if testing.Short() {
		t.Skip("three diagnoses of the reference model")
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		const sick, share = "blocks.3", 0.1
		healthy := fixtures.Open(t, "model.onnx")
		planted := healthy.Uphill(t, sick, healthy.Part(t, cifar.Sample(), "holdout[:500]"), share)
		diagnose := func(m *fixtures.Model, part string, prior *diag.Prior) *diag.Report {
			r, err := diag.Diagnose(t.Context(), m.Runner(t, graph.RunnerOptions{Device: on.Device}), m.Part(t, cifar.Sample(), part), m.Layers(graph.ByBlock), diag.Options{PerExample: true, Prior: prior})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Changes {
				t.Logf("%s %s: %.3f to %.3f, %.3f ± %.3f, paired %v, at least %.3f", c.Quantity, c.Layer, c.Before.Mean, c.After.Mean, c.Increase.Mean, c.Increase.HalfWidth(), c.Paired, c.CorrectedLow)
			}
			return r
		}
		const same, other = "validation[:500]", "validation[500:]"
		before := diagnose(healthy, same, nil)
		if found := regressed(diagnose(planted, same, priorOf(before, true))); len(found) == 0 || found[0] != sick {
			t.Errorf("on the same images %v are worse, want %s first", found, sick)
		}
		if found := regressed(diagnose(healthy, other, priorOf(before, false))); found != nil {
			t.Errorf("the same model is worse on other images: %v", found)
		}
	})
}

// priorOf is a report as a later diagnosis compares itself with it.
func priorOf(r *diag.Report, same bool) *diag.Prior {
	p := &diag.Prior{Calibrated: true, SameExamples: func() bool { return same }, Layers: map[string]diag.PriorFigure{}, Violations: r.Violations}
	for _, l := range r.Layers {
		p.Layers[l.Name] = diag.PriorFigure{Estimate: l.Transfer.Gain, Each: l.Transfer.Gains}
	}
	return p
}

// regressed are the layers that are worse than before.
func regressed(r *diag.Report) (layers []string) {
	for _, v := range r.Violations {
		if v.Rule == diag.RuleRegression {
			layers = append(layers, v.Layer)
		}
	}
	return layers
}
