package pol

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// TestChoose resolves every choice.
func TestChoose(t *testing.T) {
	_, layers, _ := newPerceptron(1)
	number := func(x float64) *float64 { return &x }
	transfer := func(mean, low float64) *diag.Transfer {
		return &diag.Transfer{Gain: metric.Estimate{Mean: mean}, CorrectedLow: low}
	}
	report := &diag.Report{Layers: []diag.LayerResult{
		{Name: "low", Kappa: number(0.5), Transfer: transfer(0.1, 0.01)},
		{Name: "middle", Kappa: number(0.7), Transfer: transfer(0.2, 0.02)},
		{Name: "head", Kappa: number(0.7), Transfer: transfer(0.9, -0.1)}, // largest, but not significant
	}}
	flat := &diag.Report{Layers: []diag.LayerResult{
		{Name: "low", Transfer: transfer(0.1, 0)}, {Name: "middle", Transfer: transfer(-0.1, -0.2)}, {Name: "head"},
	}}
	other := &diag.Report{Layers: []diag.LayerResult{{Name: "elsewhere", Kappa: number(1), Transfer: transfer(1, 0.5)}}}
	tests := []struct {
		choice Choice
		report *diag.Report
		want   []string // nil: an error, or nothing
	}{
		{NoLayers, nil, []string{}},
		{AllLayers, nil, []string{"low", "middle", "head"}},
		{Classifier, nil, []string{"head"}},
		{AllButClassifier, nil, []string{"low", "middle"}},
		{LargestKappa, report, []string{"middle"}}, // the first among equals
		{LargestTransfer, report, []string{"middle"}},
		{LargestKappa, flat, nil},
		{LargestTransfer, flat, nil},
		{LargestKappa, other, nil},
		{LargestTransfer, other, nil},
	}
	for _, test := range tests {
		chosen, err := test.choice.Choose(layers, layers[2], test.report)
		if test.want == nil {
			if nothing := errors.Is(err, ErrNothingToTreat); err == nil || nothing != (test.choice == LargestTransfer) || chosen != nil {
				t.Errorf("choice %d: %v, error %v", test.choice, Names(chosen), err)
			}
			continue
		}
		if err != nil || !slices.Equal(Names(chosen), test.want) {
			t.Errorf("choice %d: %v, error %v, want %v", test.choice, Names(chosen), err, test.want)
		}
		if test.choice.NeedsDiagnosis() != (test.report != nil) {
			t.Errorf("choice %d needs a diagnosis: %v", test.choice, test.choice.NeedsDiagnosis())
		}
	}
	// The caller's layers are not shared.
	chosen, _ := AllLayers.Choose(layers, layers[2], nil)
	chosen[0].Name = "renamed"
	if layers[0].Name != "low" {
		t.Error("a choice shares the caller's layers")
	}
}

func TestFindRecipe(t *testing.T) {
	for _, r := range Recipes() {
		found, err := FindRecipe(r.Name)
		if err != nil || found != r {
			t.Errorf("%s: %+v, error %v", r.Name, found, err)
		}
	}
	if _, err := FindRecipe("pola"); err == nil || !strings.Contains(err.Error(), "sgd, sam, pof, pol, temperature") {
		t.Errorf("error %v does not name the recipes", err)
	}
}
