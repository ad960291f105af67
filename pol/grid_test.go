package pol

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// figures is what a diagnosis says of a layer with these ΔL̂ and κ; a ΔL̂ or κ of 0 is
// none.
func figures(l diag.Layer, gain, kappa float64) diag.LayerResult {
	r := diag.LayerResult{Name: l.Name}
	if gain != 0 {
		r.Transfer = &diag.Transfer{Gain: metric.NormalEstimate(gain, 0.01)}
	}
	if kappa != 0 {
		r.Kappa = &kappa
	}
	return r
}

// measuredNet is five blocks, b0 to b4 at necks 0, 2, 4, …, of two modules each but for
// the last, which is the classifier by itself.
func measuredNet() (measured []Measured, classifier diag.Layer) {
	var blocks, modules Measured
	gains := []float64{-0.1, 0.02, 0.05, 0.03, 0}
	kappas := []float64{9, 1, 2, 3, 0.5}
	weight := 0
	for b := range 5 {
		block := diag.Layer{Name: fmt.Sprintf("b%d", b), Neck: 2 * b}
		for k := range 2 {
			module := diag.Layer{Name: fmt.Sprintf("b%d.m%d", b, k), Neck: 2*b + k, Weights: []int{weight}}
			block.Weights = append(block.Weights, weight)
			weight++
			modules.Layers = append(modules.Layers, module)
			modules.Figures = append(modules.Figures, figures(module, gains[b]*float64(k), kappas[b]*float64(2-k)))
			if b == 4 {
				break
			}
		}
		blocks.Layers, blocks.Figures = append(blocks.Layers, block), append(blocks.Figures, figures(block, gains[b], kappas[b]))
	}
	return []Measured{blocks, modules}, modules.Layers[len(modules.Layers)-1]
}

func every(diag.Layer) bool { return true }

func TestGrid(t *testing.T) {
	measured, classifier := measuredNet()
	candidates, err := Grid(measured, classifier, 12, every)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range candidates {
		got = append(got, fmt.Sprintf("%s → %s: %s", c.Perturb.Name, c.Update.Name, c.Why))
		if c.Why != WhyPublished && c.Perturb.Neck < c.Update.Neck {
			t.Errorf("%s lies below %s", c.Perturb.Name, c.Update.Name)
		}
		if c.Gain == nil || *c.Gain <= 0 || *c.SE != 0.01 || (c.Kappa == nil) != (c.Why == WhyNothing) {
			t.Errorf("%s → %s: figures %+v", c.Perturb.Name, c.Update.Name, c)
		}
	}
	want := []string{
		"b0 → b2: published",
		"b4.m0 → b2: classifier",
		" → b2: nothing",
		"b4.m0 → b2.m1: classifier",
		"b2 → b2: itself",
		" → b2.m1: nothing",
		"b4.m0 → b3: classifier",
		"b3 → b2: kappa", // which is one of the highest, too
		"b2.m1 → b2.m1: itself",
		" → b3: nothing",
		"b4.m0 → b3.m1: classifier",
		"b3.m0 → b2.m1: kappa",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	seen := map[string]bool{}
	all, err := Grid(measured, classifier, 1000, every)
	if err != nil {
		t.Fatal(err)
	}
	updated := map[string]bool{}
	for _, c := range all {
		key := fmt.Sprint(c.Perturb.Weights, c.Update.Weights)
		if seen[key] {
			t.Errorf("%s → %s is there twice", c.Perturb.Name, c.Update.Name)
		}
		seen[key] = true
		updated[c.Update.Name] = true
	}
	if want := map[string]bool{"b1": true, "b2": true, "b3": true, "b1.m1": true, "b2.m1": true, "b3.m1": true}; !reflect.DeepEqual(updated, want) {
		t.Errorf("updated are %v, want all with a gain above 0", updated)
	}
	for i, c := range candidates {
		if c.Perturb.Name != all[i].Perturb.Name || c.Update.Name != all[i].Update.Name {
			t.Errorf("candidate %d depends on how many there are", i)
		}
	}
}

func TestGridLeavesOut(t *testing.T) {
	measured, classifier := measuredNet()
	candidates, err := Grid(measured, classifier, 1000, func(l diag.Layer) bool { return l.Name != "b2" })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range candidates {
		if c.Update.Name == "b2" {
			t.Errorf("%s → b2 is updated", c.Perturb.Name)
		}
	}
	if _, err := Grid(measured, classifier, 12, func(diag.Layer) bool { return false }); !errors.Is(err, ErrNothingToTreat) {
		t.Errorf("without a layer to update: %v", err)
	}
	for i := range measured {
		for j := range measured[i].Figures {
			measured[i].Figures[j].Transfer = nil
		}
	}
	if _, err := Grid(measured, classifier, 12, every); !errors.Is(err, ErrNothingToTreat) {
		t.Errorf("without figures: %v", err)
	}
}
