package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/internal/peak"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func fixCommand() *cli.Command {
	recipe := stringFlag(categoryMethod, "recipe", "NAME", "pol", "treatment: "+strings.Join(recipeNames(), ", "))
	perImage := boolFlag(categoryOutput, "per-image", "in JSON, also the losses and answers of each hold-out image, in data order")
	return withHelp(&cli.Command{
		Name:      "fix",
		Usage:     "treat the worst layer; write OUT only if hold-out images show that it helps",
		ArgsUsage: "MODEL -o OUT",
		Description: "Perturbs the classifier a little and trains only the layer where ΔL̂ is largest (PoL), or " +
			"follows another recipe. The epoch that is best on the validation images is kept; hold-out images, " +
			"which serve nothing else, decide: unless their loss is significantly lower than the original's and than with a temperature " +
			"alone, and their error not significantly higher, nothing is written and the exit status is 1. OUT differs from MODEL in the treated weights and one metadata entry only.",
		Flags: slices.Concat(targetFlags(), dataFlags(), modelFlags(),
			append([]cli.Flag{recipe}, treatmentFlags()...), searchFlags(), []cli.Flag{perImage, plotFlag()}, outputFlags(), append(runFlags(), append(cacheFlags(), configFlag())...)),
		Before:       withConfig,
		Action:       action(readFixOptions, fix),
		OnUsageError: usageError,
	},
		"modeldoctor fix model.onnx -o fixed.onnx",
		"modeldoctor fix --perturb kappa --update blocks.5 --epochs 4 --lr 0.1 model.onnx -o fixed.onnx",
		"modeldoctor fix --from report.json --dry-run model.onnx",
		"modeldoctor fix --search-layers --checkpoint search.json model.onnx -o fixed.onnx",
		"modeldoctor fix --recipe temperature model.onnx -o calibrated.onnx",
		"modeldoctor fix --dequantize int8.onnx -o fixed.onnx",
	)
}

// memoryInterval is the time between two looks at the memory in use.
const memoryInterval = 20 * time.Millisecond

// fixOptions are the flags of fix.
type fixOptions struct {
	treatmentOptions
	target      target
	search      layerSearch
	checkpoints checkpoints
	perImage    bool     // report each hold-out image, too
	sameData    []string // flags of the data and the model's reading, as on a command line
	out         *output
}

// recipeName reads --recipe. Where nothing says how to treat and the error is to fall, it
// is SGD of all layers: docs/error.md has what that rests on.
func recipeName(c *cli.Context) (string, error) {
	name, err := oneOf(c, "recipe")
	if c.String("goal") == pol.LowerError.String() && !c.IsSet("recipe") && !c.IsSet("perturb") && !c.IsSet("search-layers") {
		name = "sgd"
	}
	return name, err
}

func readFixOptions(c *cli.Context) (fixOptions, error) {
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return fixOptions{}, err
	}
	name, err := recipeName(c)
	if err != nil {
		return fixOptions{}, err
	}
	recipe, err := pol.FindRecipe(name)
	if err != nil {
		return fixOptions{}, usage("--recipe: %v", err)
	}
	opt := fixOptions{checkpoints: checkpoints{save: c.String("checkpoint"), resume: c.String("resume")}}
	if err := checkHeeded(c, recipe); err != nil {
		return opt, err
	}
	if opt.treatmentOptions, err = readTreatmentOptions(c, path, recipe); err != nil {
		return opt, err
	}
	if opt.search, err = readLayerSearch(c, &opt.treatmentOptions); err != nil {
		return opt, err
	}
	if opt.target, err = readTarget(c, path); err != nil {
		return opt, err
	}
	if to := opt.target; !to.force && !to.trial && !to.dryRun {
		opt.minHoldout = pol.MinHoldout
	}
	opt.perImage = c.Bool("per-image")
	opt.sameData = setFlags(c, slices.Concat(dataFlags(), modelFlags()))
	opt.out, err = readOutput(c, report.Formats(opt.printed()), append(dataFiles(c), path, opt.from, opt.target.path, opt.target.backup, opt.checkpoints.save, opt.checkpoints.resume)...)
	return opt, err
}

// printed is a result of the kind that is printed.
func (o *fixOptions) printed() report.Result {
	switch {
	case o.target.dryRun && o.search.candidates > 0:
		return &report.SearchPlan{}
	case o.target.dryRun:
		return &report.FixPlan{}
	}
	return &report.Fix{}
}

// fix treats one model.
func fix(ctx context.Context, opt fixOptions) error {
	start := time.Now()
	ctx, cancel := opt.run.withTimeout(ctx)
	defer cancel()
	memory := peak.Start(memoryInterval)
	defer memory.Stop()
	defer opt.run.console.finish()
	left := nothingWritten
	opt.checkpoints.saved = func() {
		left = fmt.Sprintf("no model was written; --resume %s goes on from the last epoch that is saved", opt.checkpoints.save)
	}
	err := onSubject(ctx, opt.treatmentOptions, func(s *subject) error { return fixSubject(ctx, s, opt, memory, start) })
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{code: exitTimeout, msg: "the time limit came first; " + nothingWritten, hint: "raise --timeout, use fewer --epochs, or keep what is done with --checkpoint FILE and go on with --resume FILE", err: err}
	}
	return interrupted(err, opt.run.console, left)
}

// fixSubject is fix once the model and the data are open.
func fixSubject(ctx context.Context, s *subject, opt fixOptions, memory *peak.Watch, start time.Time) (err error) {
	con := opt.run.console
	if err := s.refuseGuess(opt.target); err != nil {
		return err
	}
	seen := false
	if !opt.target.dryRun {
		var err error
		if err = s.keepApart(ctx, opt.treatmentOptions); err != nil {
			return err
		}
		if seen, err = s.warnIfSeen(con); err != nil {
			return err
		}
	}
	opt.treatmentOptions = s.calibrated(opt.treatmentOptions)
	var chosen chosenPlan
	var search *pol.LayerSearch
	var idle error // why no layer is trained
	switch {
	case opt.search.candidates == 0:
		chosen, err = choosePlan(ctx, s, opt.treatmentOptions)
	case opt.target.dryRun:
		return printSearch(ctx, s, opt, start)
	default:
		chosen, search, err = searchLayers(ctx, s, opt)
	}
	switch nothing := errors.Is(err, pol.ErrNothingToTreat); {
	case nothing && opt.target.dryRun:
		return printNoPlan(s, opt, start, err)
	case nothing: // which is reported like any other treatment that fails
		chosen.plan, idle = pol.Plan{Recipe: opt.recipe}, err
	case err != nil:
		return err
	}
	opt.recipe = chosen.plan.Recipe
	t, err := prepare(s, chosen, opt.treatmentOptions)
	if err != nil {
		return err
	}
	defer func() {
		if closed := t.close(); err == nil {
			err = closed
		}
	}()
	written, err := t.tryTarget(opt.target)
	if err != nil {
		return err
	}
	if err := protectDataFiles(append(t.network.Model.DataFiles(), written...), opt); err != nil {
		return err
	}
	if opt.target.dryRun {
		return printPlan(ctx, t, opt, start)
	}
	options, err := t.withCheckpoints(opt)
	if err != nil {
		return err
	}
	result, err := pol.Treat(ctx, t.runner, s.data(), t.plan, options)
	con.finish()
	if err != nil {
		return err
	}
	if idle != nil {
		result.Stopped = idle.Error()
	}
	t.warnOfGrid(result, con)
	t.warnOfGuess(result, con)
	done, err := describeFix(t, result, opt)
	if err != nil {
		return err
	}
	done.HoldoutSeen = seen
	if search != nil {
		done.Recipe.ChosenBy, done.Search = report.ChosenBySearch, report.NewLayerSearch(search)
	}
	if opt.perImage {
		done.Images = report.NewHoldoutImages(result.Images)
	}
	if (result.Accepted() || done.Forced) && !opt.target.trial {
		if done.Output, err = t.write(opt.target, done, result.Weights); err != nil {
			return err
		}
	}
	done.PeakBytes = memory.Stop()
	done.Provenance = provenance(t.loaded, options.Seed, start)
	fails := done.Judge()
	if fails {
		done.ExitCode = exitFailed
	}
	err = opt.out.write(done)
	if err == nil && fails {
		return errReported
	}
	return err
}

// protectDataFiles returns an error where a report or a saved training would take
// the place of one of the model's data files, as it is or as it will be.
func protectDataFiles(files []string, opt fixOptions) error {
	for _, file := range files {
		for _, f := range opt.out.files {
			if sameFile(f.path, file) {
				return usage("--format: %s is a data file of the model", f.path)
			}
		}
		if sameFile(opt.checkpoints.save, file) {
			return usage("--checkpoint: %s is a data file of the model", file)
		}
	}
	return nil
}

func recipeNames() []string {
	var names []string
	for _, r := range pol.Recipes() {
		names = append(names, r.Name)
	}
	return names
}

// printNoPlan says that nothing would be treated, and returns why.
func printNoPlan(s *subject, opt fixOptions, start time.Time, reason error) (err error) {
	plan := &report.FixPlan{
		Model: describeModel(s.network.Model, s.network), Data: describeSets(s, opt.treatmentOptions),
		Nothing: reason.Error(), Provenance: provenance(s.loaded, opt.training.Seed, start),
	}
	if plan.Model.SHA256, err = s.network.Model.SHA256(); err != nil {
		return err
	}
	if err := opt.out.write(plan); err != nil {
		return err
	}
	return reason
}

// printPlan says what a treatment would do and cost.
func printPlan(ctx context.Context, t *treatment, opt fixOptions, start time.Time) error {
	estimate := func(plan pol.Plan) (pol.Cost, error) {
		return pol.EstimateCost(ctx, t.runner, t.subject.data(), plan, t.options)
	}
	cost, err := estimate(t.plan)
	if err != nil {
		return err
	}
	total := report.NewCost(&cost, t.options.Epochs)
	plan := &report.FixPlan{
		Model: describeModel(t.subject.network.Model, t.network), Data: describeSets(t.subject, opt.treatmentOptions),
		Cost: &total,
	}
	recipe := describeTreatment(t, opt.treatmentOptions, plan.Data)
	plan.Recipe = &recipe
	if cheaper, ok := classifierPlan(t.network, t.plan, len(opt.perturb) > 0); ok {
		less, err := estimate(cheaper)
		if err != nil {
			return err
		}
		if less.Total(t.options.Epochs) < cost.Total(t.options.Epochs) {
			plan.Cheapest = &report.CheaperPlan{Perturb: pol.Names(cheaper.Perturb), Update: pol.Names(cheaper.Update), Cost: report.NewCost(&less, t.options.Epochs)}
		}
	}
	if plan.Model.SHA256, err = t.subject.network.Model.SHA256(); err != nil {
		return err
	}
	plan.Provenance = provenance(t.loaded, t.options.Seed, start)
	return opt.out.write(plan)
}
