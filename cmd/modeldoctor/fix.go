package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/internal/peak"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func fixCommand() *cli.Command {
	recipe := stringFlag(categoryMethod, "recipe", "NAME", "pol", "treatment: "+strings.Join(recipeNames(), ", "))
	return withHelp(&cli.Command{
		Name:      "fix",
		Usage:     "treat the worst layer; write OUT only if the hold-out loss surely falls",
		ArgsUsage: "MODEL -o OUT",
		Description: "Perturbs the layer where κ is largest and trains only the layer where ΔL̂ is largest (PoL), or " +
			"follows another recipe. The epoch that is best on the validation images is kept; the loss on hold-out images, " +
			"which serve nothing else, decides: unless the 95 % interval of its drop lies above zero, nothing is written " +
			"and the exit status is 1. OUT differs from MODEL in the treated weights and one metadata entry only.",
		Flags: slices.Concat(targetFlags(), dataFlags(), modelFlags(),
			append([]cli.Flag{recipe}, treatmentFlags()...), outputFlags(), append(runFlags(), append(cacheFlags(), configFlag())...)),
		Before:       withConfig,
		Action:       func(c *cli.Context) error { return untreated(fix(c)) },
		OnUsageError: usageError,
	},
		"modeldoctor fix model.onnx -o fixed.onnx",
		"modeldoctor fix --perturb head --update blocks.5 --epochs 4 --lr 0.1 model.onnx -o fixed.onnx",
		"modeldoctor fix --from report.json --dry-run model.onnx",
		"modeldoctor fix --recipe temperature model.onnx -o calibrated.onnx",
		"modeldoctor fix --dequantize int8.onnx -o fixed.onnx",
	)
}

// memoryInterval is the time between two looks at the memory in use.
const memoryInterval = 20 * time.Millisecond

// fix treats one model.
func fix(c *cli.Context) error {
	start := time.Now()
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return err
	}
	name, err := oneOf(c, "recipe", recipeNames()...)
	if err != nil {
		return err
	}
	recipe, err := pol.FindRecipe(name)
	if err != nil {
		return usage("--recipe: %v", err)
	}
	s, err := readSettings(c, recipe)
	if err != nil {
		return err
	}
	to, err := readTarget(c, path)
	if err != nil {
		return err
	}
	out, err := readOutput(c, report.Formats(&report.Fix{}, &report.FixPlan{}), path, c.String("data"), c.String("labels"), c.String("preprocess"), c.String("from"), to.path, to.backup, c.String("checkpoint"), c.String("resume"))
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(c)
	defer cancel()
	memory := peak.Start(memoryInterval)
	defer memory.Stop()
	bar := newProgress(c)
	defer bar.finish()

	t, err := openTreatment(ctx, c, path, s, bar)
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.choose(ctx, bar); err != nil {
		return err
	}
	if err := t.separateShared(c); err != nil {
		return err
	}
	if err := t.prepareOptions(bar); err != nil {
		return err
	}
	if err := t.rehearse(c, to, out); err != nil {
		return err
	}
	if to.dryRun {
		return t.printPlan(ctx, c, out, start)
	}
	if err := t.prepareCheckpoint(c, to); err != nil {
		return err
	}
	result, err := pol.Treat(ctx, t.runner, t.data(), t.plan, t.options)
	bar.finish()
	if err != nil {
		return err
	}
	t.warnOfSharedImages(c)
	t.warnOfGrid(c, result)
	done := report.NewFix(result)
	done.Model, done.Data = describeModel(t.original, t.network), t.describeData()
	done.Recipe = t.describe(done.Data)
	done.Trial, done.Forced = to.trial, to.force && !result.Accepted() && !to.trial && result.Weights != nil
	if done.Model.SHA256, err = t.original.SHA256(); err != nil {
		return err
	}
	for _, part := range []struct {
		set    *examples
		digest *string
	}{{t.train, &done.Data.Train.SHA256}, {t.validation, &done.Data.Validation.SHA256}, {t.holdout, &done.Data.Holdout.SHA256}} {
		if part.set == nil {
			continue
		}
		if *part.digest, err = part.set.SHA256(); err != nil {
			return err
		}
	}
	if (result.Accepted() || done.Forced) && !to.trial {
		if done.Output, err = t.write(to, done, result.Weights); err != nil {
			return err
		}
	}
	done.PeakBytes = memory.Stop()
	done.Provenance = provenance(c, t.runner, start)
	err = out.write(done)
	if err == nil && !result.Accepted() && !done.Forced {
		return errReported
	}
	return err
}

func recipeNames() []string {
	var names []string
	for _, r := range pol.Recipes() {
		names = append(names, r.Name)
	}
	return names
}

// untreated explains an error of a treatment.
func untreated(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{code: exitTimeout, msg: "the time limit came first; nothing was written", hint: "raise --timeout, use fewer --epochs, or keep what is done with --checkpoint FILE and go on with --resume FILE", err: err}
	}
	return err
}

// warnOfSharedImages says how many images two of the sets have in common: a
// hold-out image that was trained on is no judge.
func (t *treatment) warnOfSharedImages(c *cli.Context) {
	for _, pair := range []struct {
		a, b *examples
		what string
	}{
		{t.train, t.holdout, "training images are also among the hold-out images"},
		{t.train, t.validation, "training images are also among the validation images"},
		{t.validation, t.holdout, "validation images are also among the hold-out images"},
	} {
		if pair.a == nil {
			continue
		}
		if n := pair.a.inCommon(pair.b); n > 0 {
			fmt.Fprintf(c.App.ErrWriter, "modeldoctor: warning: %d %s, pixel by pixel\n", n, pair.what)
		}
	}
}

// warnOfGrid says where nothing has changed because no weight has moved by half
// a step of the grid that it is stored on.
func (t *treatment) warnOfGrid(c *cli.Context, result *pol.Result) {
	quantised := false
	for w, values := range result.Weights {
		quantised = quantised || t.network.Weights[w].Tensor.Quantization() != nil && !t.dequantize
		if !slices.Equal(values, t.runner.Weight(w)) {
			return
		}
	}
	if quantised {
		fmt.Fprintln(c.App.ErrWriter, "modeldoctor: warning: the treatment changes nothing: on the grids that the weights are quantised to, every one is rounded to its old value; --dequantize stores them as floating-point numbers")
	}
}

// printPlan says what a treatment would do and cost.
func (t *treatment) printPlan(ctx context.Context, c *cli.Context, out *output, start time.Time) error {
	cost, err := pol.Estimate(ctx, t.runner, t.data(), t.plan, t.options)
	if err != nil {
		return err
	}
	plan := &report.FixPlan{Model: describeModel(t.original, t.network), Data: t.describeData(), Cost: report.NewCost(&cost, t.options.Epochs)}
	plan.Recipe = t.describe(plan.Data)
	if cheaper, ok := t.cheapest(); ok {
		less, err := pol.Estimate(ctx, t.runner, t.data(), cheaper, t.options)
		if err != nil {
			return err
		}
		if less.Total(t.options.Epochs) < cost.Total(t.options.Epochs) {
			plan.Cheapest = &report.CheaperPlan{
				Perturb: pol.Names(cheaper.Perturb), Update: pol.Names(cheaper.Update), Cost: report.NewCost(&less, t.options.Epochs),
			}
		}
	}
	if plan.Model.SHA256, err = t.original.SHA256(); err != nil {
		return err
	}
	plan.Provenance = provenance(c, t.runner, start)
	return out.write(plan)
}

// cheapest is the same treatment with the perturbation moved to the head, above
// which nothing is left to compute: a scan of it costs next to nothing. It
// reports false where that is no change, or the user's own choice.
func (t *treatment) cheapest() (pol.Plan, bool) {
	plan := t.plan
	if t.recipe.Rule != pol.Search || len(t.perturb) > 0 {
		return plan, false
	}
	head, err := pol.HeadLayer.Choose(diagLayers(t.network.Layers("block")), nil)
	if err != nil || slices.EqualFunc(head, plan.Perturb, func(a, b diag.Layer) bool { return a.Name == b.Name }) {
		return plan, false
	}
	plan.Perturb = head
	return plan, true
}
