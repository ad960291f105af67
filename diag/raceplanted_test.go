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

// TestRaceFindsPlantedBlock moves each block of the reference model uphill and lets the
// layers race. What one block has lost others can give back in part, so that it is not
// always the only one that fails.
func TestRaceFindsPlantedBlock(t *testing.T) {
	if testing.Short() {
		t.Skip("six races of the reference model")
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		const images, searched, share, blocks = 500, 2, 0.2, 6
		healthy := fixtures.Open(t, "model.onnx")
		found, failed := 0, 0
		for k := range blocks {
			sick := fmt.Sprintf("blocks.%d", k)
			planted := healthy.Uphill(t, sick, healthy.Part(t, cifar.Sample(), "holdout[:500]"), share)
			v := planted.Part(t, cifar.Sample(), fmt.Sprintf("validation[:%d]", images))
			r, err := diag.Diagnose(t.Context(), planted.Runner(t, graph.RunnerOptions{Device: on.Device}), v, planted.Layers(graph.ByBlock), diag.Options{Race: &diag.Race{Layers: searched}})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range r.Layers {
				if l.Status == diag.StatusSkipped {
					continue
				}
				t.Logf("%s is sick: %s forecast %.3f, ΔL̂ %.3f ± %.3f, %s", sick, l.Name, *l.Forecast, l.Transfer.Gain.Mean, l.Transfer.Gain.HalfWidth(), l.Verdict)
				if l.Name == sick {
					found++
					if l.Verdict == diag.Over {
						failed++
					}
				}
			}
		}
		t.Logf("%d of 8 layers searched: the planted one among them in %d of %d races, over in %d", searched, found, blocks, failed)
		if found < blocks-1 || failed < blocks-2 {
			t.Errorf("the planted layer was searched in %d of %d races, and over in %d", found, blocks, failed)
		}
	})
}
