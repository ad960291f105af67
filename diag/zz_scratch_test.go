package diag_test

import (
	"testing"
	"modeldoctor/diag"
	"modeldoctor/graph"
)

func TestScratchCount(t *testing.T) {
	for _, g := range []graph.Granularity{graph.ByBlock, graph.ByModule} {
		r := diagnoseFixture(t, "model.onnx", g, diag.Options{})
		n, q := 0, 0
		for _, l := range r.Layers {
			n += l.ForwardEvaluations
			q += l.Transfer.ForwardEvaluations
		}
		t.Logf("%s: %.2f in sample, %.2f quarters per layer of %d", g, float64(n)/float64(len(r.Layers)), float64(q)/float64(len(r.Layers)), len(r.Layers))
		for _, v := range r.Violations { t.Log(v) }
	}
}
