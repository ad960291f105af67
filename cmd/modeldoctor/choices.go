package main

import (
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// choices are all the words that a flag takes, nil where it takes others, too. A flag's
// name means the same in every command.
func choices(flag string) []string {
	switch flag {
	case "augment":
		return []string{"none", "flip-crop"}
	case "channels":
		return []string{"rgb", "bgr"}
	case "color":
		return []string{"auto", "always", "never"}
	case "direction":
		return []string{"line", "balanced", "descent"}
	case "fail-on":
		return []string{string(diag.LevelError), string(diag.LevelWarning), report.FailNever}
	case "goal":
		return pol.GoalNames()
	case "granularity":
		return []string{string(graph.ByBlock), string(graph.ByModule), string(graph.ByTensor)}
	case "input-layout":
		var names []string
		for _, l := range graph.Layouts() {
			names = append(names, string(l))
		}
		return names
	case "on-undecided":
		return []string{report.UndecidedPass, report.UndecidedWarn, report.UndecidedFail}
	case "precision":
		return []string{driver.FP32.String(), driver.TF32.String(), driver.BF16.String()}
	case "recipe", "recipes":
		return recipeNames()
	case "schedule":
		return []string{string(pol.Cosine), string(pol.Constant)}
	case "shared":
		return []string{string(updateShared), string(untieShared)}
	}
	return nil
}

// suggestions are words that a flag of a command takes, among others if it has no
// [choices].
func suggestions(command, flag string) []string {
	switch flag {
	case "calibration":
		return []string{report.CalibrationFit, report.CalibrationNone}
	case "config":
		return []string{"none"}
	case "device":
		return []string{"auto", "cpu", "gpu"}
	case "format":
		return formatsOf(command)
	case "loss":
		return []string{"ce", "smooth", "focal", "margin", "soft01"}
	case "perturb":
		return []string{"auto", "kappa", allNorms}
	case "preprocess":
		return presetNames()
	}
	return choices(flag)
}

// formatsOf are the formats of a command's report.
func formatsOf(command string) []string {
	switch command {
	case "check":
		return report.Formats(&report.Check{})
	case "fix":
		return report.Formats(&report.Fix{}, &report.FixPlan{})
	case "compare":
		return report.Formats(&report.Compare{})
	case "verify":
		return report.Formats(&report.Verify{})
	}
	return report.Formats(&report.Inspect{})
}

// oneOf reads a flag that takes one of its [choices].
func oneOf(c *cli.Context, flag string) (string, error) {
	v, allowed := c.String(flag), choices(flag)
	if slices.Contains(allowed, v) {
		return v, nil
	}
	f := usage("--%s: %q is none of %s", flag, v, strings.Join(allowed, ", "))
	if near := closest(v, allowed); near != "" {
		f.withHint("did you mean %s?", near)
	}
	return "", f
}
