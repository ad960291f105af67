package main

import (
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/urfave/cli/v2"
)

// need is what a recipe has to do for a flag to have an effect.
type need struct {
	met  func(pol.Recipe) bool
	lack string // what a recipe does that does not meet it
}

var (
	always    = need{func(pol.Recipe) bool { return true }, ""}
	training  = need{func(r pol.Recipe) bool { return r.Update != pol.NoLayers }, "trains nothing"}
	searching = need{func(r pol.Recipe) bool { return r.Rule == pol.Search }, "searches for no perturbation"}
	ascending = need{func(r pol.Recipe) bool { return r.Rule == pol.Ascent }, "has no perturbation of a given length"}
)

// needs are those of each flag of a treatment. What names layers, or bounds a search
// for them, is looked at where it is read: see [readTreatmentOptions] and
// [readLayerSearch].
var needs = map[string]need{
	"goal": always, "perturb": always, "update": always, "granularity": always, "from": always, "dequantize": always,
	"calibration": always, "drop-shared": always, "seed": always, "memory": always, "search-layers": always, "search-candidates": always,

	"shared": training, "epochs": training, "batch": training, "lr": training, "lr-factor": training, "momentum": training,
	"weight-decay": training, "schedule": training, "loss": training, "mix": training, "augment": training, "views": training, "no-cache": training,

	"perturb-batch": searching, "gamma-max": searching, "perturb-every": searching,
	"rho": ascending,
}

// checkHeeded returns an error where flags stand on the command line that none of some
// recipes heeds. What comes from the environment or a file is for other commands, too.
func checkHeeded(c *cli.Context, recipes ...pol.Recipe) error {
	var names []string
	lack := ""
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		n, ok := needs[name]
		if !ok || !onCommandLine(c, name) || slices.ContainsFunc(recipes, n.met) || lack != "" && lack != n.lack {
			continue
		}
		names, lack = append(names, "--"+name), n.lack
	}
	if names == nil {
		return nil
	}
	var of []string
	for _, r := range recipes {
		of = append(of, r.Name)
	}
	return usage("recipe %s %s: %s would change nothing", strings.Join(of, " or "), lack, strings.Join(names, ", ")).withHint("leave out what has no effect, or choose another recipe (%s)", strings.Join(heeding(lack), ", "))
}

// heeding names the recipes that meet the needs of a lack.
func heeding(lack string) []string {
	var names []string
	for _, r := range pol.Recipes() {
		if !slices.ContainsFunc([]need{training, searching, ascending}, func(n need) bool { return n.lack == lack && !n.met(r) }) {
			names = append(names, r.Name)
		}
	}
	return names
}

// heededBy are those of some flags, as they stand on a command line (--name=value), that
// a recipe heeds.
func heededBy(r pol.Recipe, flags []string) []string {
	return slices.DeleteFunc(slices.Clone(flags), func(flag string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		n, ok := needs[name]
		return ok && !n.met(r)
	})
}
