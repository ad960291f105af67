package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/urfave/cli/v2"
)

// TestPerturbed: how far a layer is perturbed goes with the way in which it was chosen,
// unless it is said.
func TestPerturbed(t *testing.T) {
	model := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(model, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[string]struct {
		perturb  pol.Choice
		named    string
		gammaMax float64
	}{
		"fix":                                         {pol.Classifier, "", 0.25},
		"fix --perturb auto":                          {pol.Classifier, "", 0.25},
		"fix --perturb auto --gamma-max 3":            {pol.Classifier, "", 3},
		"fix --perturb kappa":                         {pol.LargestKappa, "", 2},
		"fix --perturb kappa --gamma-max 0.5":         {pol.LargestKappa, "", 0.5},
		"fix --perturb module:head":                   {pol.Classifier, "module:head", 2},
		"fix --perturb module:head --gamma-max 0.125": {pol.Classifier, "module:head", 0.125},
		"fix --recipe pof":                            {pol.Classifier, "", 2},
		"fix --recipe pof --perturb auto":             {pol.Classifier, "", 2},
		"fix --search-layers":                         {pol.Classifier, "", 2},
		"fix --search-layers --gamma-max 0.5":         {pol.Classifier, "", 0.5},
		"compare":                                     {pol.Classifier, "", 0.25},
		"compare --perturb kappa":                     {pol.LargestKappa, "", 2},
	} {
		app := newApp(io.Discard, io.Discard)
		var got treatmentOptions
		app.Command("fix").Action = func(c *cli.Context) error {
			opt, err := readFixOptions(c)
			got = opt.treatmentOptions
			return err
		}
		app.Command("compare").Action = func(c *cli.Context) error {
			opt, err := readCompareOptions(c)
			got = opt.treatmentOptions
			return err
		}
		args := strings.Fields("modeldoctor " + flags + " " + model)
		if args[1] == "fix" {
			args = append(args, "--trial")
		}
		if err := app.RunContext(t.Context(), flagsFirst(app, args)); err != nil {
			t.Fatalf("%s: %v", flags, err)
		}
		if named := strings.Join(got.perturb, ","); got.recipe.Perturb != want.perturb || named != want.named || got.training.GammaMax != want.gammaMax {
			t.Errorf("%s: choice %d, named %q, γ up to %v, want %+v", flags, got.recipe.Perturb, named, got.training.GammaMax, want)
		}
	}
}
