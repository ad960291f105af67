package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/pol"
)

// layerCandidates are pairs of layers, with figures and without.
func layerCandidates(long bool) []pol.Candidate {
	name := func(s string) string {
		if long {
			return "module:encoder.layers.encoder_layer_11." + s
		}
		return s
	}
	pair := func(p, u string, why pol.Why, kappa float64) pol.Candidate {
		c := pol.Candidate{Perturb: diag.Layer{Name: name(p), Neck: 9}, Update: diag.Layer{Name: name(u), Neck: 4}, Why: why, Gain: pointer(0.0601), SE: pointer(0.0189)}
		if kappa > 0 {
			c.Kappa, c.KappaScaled, c.Agreement = pointer(kappa), pointer(100*kappa), pointer(0.2)
		}
		return c
	}
	return []pol.Candidate{
		pair("embed", "blocks.2", pol.WhyPublished, 1.63), pair("module:head", "blocks.2", pol.WhyClassifier, 0), pair("blocks.2", "blocks.2", pol.WhyItself, 0.2),
		pair("blocks.4.attn.qkv", "blocks.2.mlp.fc2", pol.WhyKappa, 0.5), pair("norm\x1b[0m", "blocks.5", pol.WhyTop, 0.1),
		{Update: diag.Layer{Name: "blocks.5", Neck: 4}, Why: pol.WhyNothing, Gain: pointer(0.0601), SE: pointer(0.0189)},
	}
}

// layerSearch is a search among them, with every outcome.
func layerSearch(long bool) *LayerSearch {
	trial := func(loss float64) *pol.Trial {
		return &pol.Trial{
			Loss: pointer(loss), Temperature: pointer(1.02), Drop: estimate(3.42-loss, 0.004), Error: 0.778,
			Best: 1, Rate: 0.0636, Steps: 15, Rejected: 1, StepTime: 41 * time.Millisecond, ScanShare: 0.1, Neck: 4,
		}
	}
	diverged := &pol.Trial{Stopped: "epoch 1, after 3 steps: the loss of a batch is not finite"}
	return NewLayerSearch(&pol.LayerSearch{
		Candidates: layerCandidates(long), Rungs: pol.Rungs(6, 4),
		Trials: [][]*pol.Trial{
			{trial(3.4131), trial(3.4182), trial(3.4179), diverged, trial(3.4184), trial(3.4190)},
			{trial(3.4086), trial(3.4185), nil, nil, trial(3.4191), nil},
			{trial(3.4011), trial(3.4123), nil, nil, nil, nil},
		},
		Places: []pol.Place{{Rung: 2, Rank: 1, Of: 2, Won: true}, {Rung: 2, Rank: 2, Of: 2}, {Rank: 4, Of: 6, Tied: true}, {Rank: 6, Of: 6, Diverged: true}, {Rung: 1, Rank: 3, Of: 3}, {Rank: 5, Of: 6}},
	})
}

// searched is a treatment of layers that a search has found.
func searched(t *testing.T, long bool) *Fix {
	f := written(t)
	f.plan = recipeOf(t, "pol", namedLayers("embed"), namedLayers("blocks.2"))
	f.plan.chosenBy = ChosenBySearch
	v := f.report()
	v.Search = layerSearch(long)
	return v
}

// searchPlan is the plan of such a search.
func searchPlan(t *testing.T, long bool) *SearchPlan {
	f := written(t)
	candidates := layerCandidates(long)
	costs := make([]pol.Cost, len(candidates))
	for i := range costs {
		costs[i] = pol.Cost{Steps: 15, CacheTime: time.Second, StepTime: time.Duration(1+i) * 100 * time.Millisecond, ScanShare: 0.6, ValidationTime: 500 * time.Millisecond, HoldoutTime: time.Second}
	}
	plan := NewSearchPlan(candidates, costs, pol.Rungs(len(candidates), 4))
	plan.Model, plan.Data, plan.Provenance = f.Model, f.Data, f.Provenance
	plan.Hyperparameters = f.plan.report(f.Data).Hyperparameters
	return plan
}

func TestSearchGoldenFiles(t *testing.T) {
	files := map[string]func(*bytes.Buffer) error{}
	for _, format := range []struct{ name, extension string }{{"text", "txt"}, {"json", "json"}, {"markdown", "md"}} {
		files["fix-search."+format.extension] = func(b *bytes.Buffer) error { return Write(b, searched(t, false), format.name, Style{}) }
		files["search-plan."+format.extension] = func(b *bytes.Buffer) error { return Write(b, searchPlan(t, false), format.name, Style{}) }
	}
	checkGolden(t, files)
}

// TestSearchWidth: a table of long names gives way to a list of them.
func TestSearchWidth(t *testing.T) {
	for _, long := range []bool{false, true} {
		for name, r := range map[string]Result{"search": searched(t, long), "plan": searchPlan(t, long)} {
			var text bytes.Buffer
			if err := Write(&text, r, "text", Style{}); err != nil {
				t.Fatal(err)
			}
			checkWidth(t, name, text.String())
			for _, c := range layerCandidates(long) {
				if !strings.Contains(text.String(), strings.Split(c.Perturb.Name, "\x1b")[0]) {
					t.Errorf("%s does not name %s", name, c.Perturb.Name)
				}
			}
		}
	}
}
