package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func compareCommand() *cli.Command {
	recipes := listFlag(categoryMethod, "recipes", "NAMES", recipeNames(), "treatments to compare, separated by commas")
	repeat := &cli.IntFlag{Name: "repeat", Value: 1, Usage: "`N` runs of each recipe, with seeds counting up from --seed", EnvVars: env("repeat"), Category: categoryMethod}
	return withHelp(&cli.Command{
		Name:      "compare",
		Usage:     "run several recipes from the same checkpoint: loss, error, s/epoch, memory, and which differences are significant",
		ArgsUsage: "MODEL",
		Description: "Each recipe treats the same checkpoint on the same images, in a process of its own, so that its peak " +
			"memory is its own. Every two are compared on the same hold-out images: which loss is significantly lower, and which " +
			"two are equivalent to within 0.02 nats. Nothing is written but the report. Where the time limit comes first, or an interruption, it is " +
			"of the runs that are finished. --perturb and --update concern pol only, whose layers are " +
			"otherwise chosen by one diagnosis.",
		Flags: slices.Concat([]cli.Flag{recipes, repeat}, treatmentFlags(), dataFlags(), modelFlags(),
			[]cli.Flag{plotFlag()}, outputFlags(), runFlagsOfCompare(), append(runFlags(), append(cacheFlags(), configFlag())...)),
		Before:       withConfig,
		Action:       action(readCompareOptions, compare),
		OnUsageError: usageError,
	},
		"modeldoctor compare model.onnx",
		"modeldoctor compare --recipes sgd,pol,temperature --repeat 3 --format markdown,json=table.json model.onnx",
	)
}

// compareOptions are the flags of compare.
type compareOptions struct {
	treatmentOptions // for pol, whose layers are chosen here
	recipes          []pol.Recipe
	repeat           int
	passOn           []string // flags for fix, as they stand on a command line
	decisive         []string // those of them that the results depend on
	runs             string   // folder that the reports of runs are kept in; empty: none
	shard            shardOptions
	out              *output
}

func readCompareOptions(c *cli.Context) (compareOptions, error) {
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return compareOptions{}, err
	}
	opt := compareOptions{repeat: c.Int("repeat"), passOn: setFlags(c, passedOn(c)), runs: c.String("runs")}
	opt.decisive = setFlags(c, slices.DeleteFunc(passedOn(c), func(f cli.Flag) bool { return slices.Contains([]string{"threads", "memory", "plot"}, f.Names()[0]) }))
	if opt.shard, err = readShardOptions(c); err != nil {
		return opt, err
	}
	if opt.shard.source != "" {
		newConsole(c.App.ErrWriter, c.Bool("quiet")).say("share %d of %d, as %s says", opt.shard.index, opt.shard.count, opt.shard.source)
	}
	if opt.shard.count > 0 && opt.runs == "" {
		return opt, usage("--shard: there is no folder for the reports of the runs").withHint("name one that all machines see: --runs DIR")
	}
	if opt.shard.count > 0 && (onCommandLine(c, "format") || onCommandLine(c, "plot")) {
		return opt, usage("--shard: a share of the runs has no table").withHint("leave --format and --plot out; the same command without --shard makes the table")
	}
	if opt.recipes, err = readRecipes(c); err != nil {
		return opt, err
	}
	if err := checkHeeded(c, opt.recipes...); err != nil {
		return opt, err
	}
	withPoL := slices.ContainsFunc(opt.recipes, isPoL)
	if !withPoL && (c.IsSet("perturb") || c.IsSet("update")) {
		return opt, usage("--perturb and --update concern pol only, which is not among --recipes")
	}
	polRecipe, err := pol.FindRecipe("pol")
	if err != nil {
		panic(err)
	}
	common := polRecipe
	if !slices.ContainsFunc(opt.recipes, func(r pol.Recipe) bool { return r.Update != pol.NoLayers }) {
		common = opt.recipes[0] // no training images are needed
	}
	if opt.treatmentOptions, err = readTreatmentOptions(c, path, common); err != nil {
		return opt, err
	}
	if !withPoL && opt.from != "" {
		opt.warnOfUnreadReport()
	}
	if opt.repeat < 1 {
		return opt, usage("--repeat: %d is less than 1", opt.repeat)
	}
	opt.out, err = readOutput(c, report.Formats(&report.Compare{}), append(dataFiles(c), path, opt.from)...)
	return opt, err
}

// isPoL tells the recipe whose layers are chosen here, once for all its runs.
func isPoL(r pol.Recipe) bool { return r.Name == "pol" }

// readRecipes reads --recipes.
func readRecipes(c *cli.Context) ([]pol.Recipe, error) {
	var recipes []pol.Recipe
	for _, name := range c.StringSlice("recipes") {
		r, err := pol.FindRecipe(strings.TrimSpace(name))
		if err != nil {
			return nil, usage("--recipes: %v", err)
		}
		if slices.ContainsFunc(recipes, func(other pol.Recipe) bool { return other.Name == r.Name }) {
			return nil, usage("--recipes: %s is named twice", r.Name).withHint("--repeat N runs each recipe several times")
		}
		recipes = append(recipes, r)
	}
	if len(recipes) == 0 {
		return nil, usage("--recipes names none")
	}
	return recipes, nil
}

// passedOn are the flags that fix has, too, and that are the same for all runs.
func passedOn(c *cli.Context) []cli.Flag {
	own := []string{"recipes", "repeat", "seed", "perturb", "update", "from", "granularity", "format", "color", "quiet", "timeout", "config", "device", "profile", "runs", "shard", "shards"}
	return slices.DeleteFunc(slices.Clone(c.Command.Flags), func(f cli.Flag) bool { return slices.Contains(own, f.Names()[0]) })
}

// setFlags spells those of some flags that were set anywhere: on the command line,
// in the environment or in the configuration file.
func setFlags(c *cli.Context, flags []cli.Flag) []string {
	var args []string
	for _, f := range flags {
		if name := f.Names()[0]; c.IsSet(name) {
			args = append(args, fmt.Sprintf("--%s=%v", name, c.Value(name)))
		}
	}
	return args
}

// compare runs the recipes one after the other.
func compare(ctx context.Context, opt compareOptions) error {
	start := time.Now()
	ctx, cancel := opt.run.withTimeout(ctx)
	defer cancel()
	defer opt.run.console.finish()
	err := onSubject(ctx, opt.treatmentOptions, func(s *subject) error { return compareOn(ctx, s, opt, start) })
	var explained *failure
	if errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &explained) {
		return tooLate("there is nothing to report yet", err)
	}
	return interrupted(err, opt.run.console, nothingWritten)
}

// tooLate says what the time limit has left.
func tooLate(left string, err error) error {
	return &failure{code: exitTimeout, msg: "the time limit came first; " + left, hint: "raise --timeout, or use fewer --recipes, --epochs, --repeat or images (--samples)", err: err}
}

// compareOn is compare once the model and the data are open.
func compareOn(ctx context.Context, s *subject, opt compareOptions, start time.Time) error {
	if err := s.keepApart(ctx, opt.treatmentOptions); err != nil {
		return err
	}
	result := report.Compare{Model: describeModel(s.network.Model, s.network), Data: describeSets(s, opt.treatmentOptions)}
	var err error
	if result.Model.SHA256, err = s.network.Model.SHA256(); err != nil {
		return err
	}
	for i := range opt.repeat {
		result.Seeds = append(result.Seeds, opt.training.Seed+uint64(i))
	}
	opt.passOn = append(opt.passOn, "--device="+s.deviceFlag(opt.run))
	opt.treatmentOptions = s.calibrated(opt.treatmentOptions)
	contestants, err := findContestants(ctx, s, opt)
	if err != nil {
		return err
	}
	kept, err := openRuns(s, opt)
	if err != nil {
		return err
	}
	// The processes have the device's memory to themselves.
	if err := s.stop(); err != nil {
		return err
	}
	if opt.shard.count > 0 {
		return shareOfRuns(ctx, contestants, result.Seeds, opt, kept)
	}
	kept.tell(runsOf(contestants, result.Seeds), opt.run.console)
	stopped := runContestants(ctx, contestants, &result, opt, kept)
	var explained *failure
	if errors.As(stopped, &explained) {
		return stopped
	}
	if stopped != nil && !slices.ContainsFunc(result.Rows, func(r report.CompareRow) bool { return len(r.Runs) > 0 || r.Failed != "" }) {
		return stopped
	}
	result.Complete = stopped == nil
	fails := result.Judge()
	result.Provenance = provenance(s.loaded, opt.training.Seed, start)
	switch {
	case errors.Is(stopped, context.Canceled):
		result.ExitCode = interruptionCode(ctx)
	case stopped != nil:
		result.ExitCode = exitCode(stopped)
	case fails:
		result.ExitCode = exitFailed
	}
	err = opt.out.write(&result)
	switch {
	case err != nil:
		return err
	case errors.Is(stopped, context.DeadlineExceeded):
		return tooLate("the report is incomplete", stopped)
	case fails:
		return errReported // no recipe could be run
	}
	return interrupted(stopped, opt.run.console, "not all runs have ended; the report is of those that have")
}

// contestant is a recipe to be run.
type contestant struct {
	recipe     string
	layers     []string // flags that name them, and say how far they are perturbed, the same ones for all its runs
	impossible error    // why it cannot be run; nil if it can
}

// seeds are those of a contestant's runs.
func (c *contestant) seeds(all []uint64) []uint64 {
	switch {
	case c.impossible != nil:
		return nil
	case c.recipe == pol.RecipeTemperature:
		return all[:1] // nothing in it is random
	}
	return all
}

// findContestants chooses the layers of pol; those of the other recipes need no
// diagnosis.
func findContestants(ctx context.Context, s *subject, opt compareOptions) ([]contestant, error) {
	var contestants []contestant
	for _, r := range opt.recipes {
		next := contestant{recipe: r.Name}
		if isPoL(r) {
			chosen, err := choosePlan(ctx, s, opt.treatmentOptions)
			switch {
			case errors.Is(err, pol.ErrNothingToTreat):
				next.impossible = err
			case err != nil:
				return nil, err
			default:
				next.layers = []string{
					"--perturb", strings.Join(pol.Names(chosen.plan.Perturb), ","), "--update", strings.Join(pol.Names(chosen.plan.Update), ","),
					"--gamma-max", fmt.Sprint(opt.training.GammaMax), // by name the layers would have another
				}
			}
		}
		contestants = append(contestants, next)
	}
	return contestants, nil
}

// runContestants runs the recipes with every seed and adds a row for each. Where the
// context ends first, the rows say what is unfinished, and the error is the context's.
func runContestants(ctx context.Context, contestants []contestant, result *report.Compare, opt compareOptions, kept *runFolder) error {
	var stopped error
	con := opt.run.console
	defer con.finish()
	done, total := 0, len(contestants)*len(result.Seeds)
	for _, r := range contestants {
		var runs []*report.Fix
		failed, unfinished := "", []uint64{}
		seeds := r.seeds(result.Seeds)
		if r.impossible != nil {
			failed = r.impossible.Error()
			done += len(result.Seeds)
		}
		for i, seed := range seeds {
			con.counting("runs")(fmt.Sprintf("%s, seed %d", r.recipe, seed), done, total)
			read, err := kept.read(r, seed)
			if err == nil && read == nil {
				read, err = treatInProcess(ctx, r, seed, opt, kept)
			}
			var explained *failure
			if errors.As(err, &explained) {
				return err
			}
			if err != nil && ctx.Err() != nil {
				err = ctx.Err()
			}
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				stopped = err
				unfinished = seeds[i:]
				break
			}
			if err != nil {
				failed = err.Error()
				break
			}
			result.Before = &read.Before
			runs = append(runs, read)
			done++
		}
		row := report.NewCompareRow(r.recipe, runs, failed)
		row.Unfinished = unfinished
		result.Rows = append(result.Rows, row)
	}
	return stopped
}

// stopDelay is how long a process that was interrupted may take to clean up.
const stopDelay = 10 * time.Second

// treatInProcess runs one treatment in a process of its own, reads its report, and keeps
// it where a folder for that is given. Its
// error is [context.Canceled] where that process was interrupted: a terminal
// interrupts it together with this one, and it may be the first to notice.
func treatInProcess(ctx context.Context, r contestant, seed uint64, opt compareOptions, kept *runFolder) (*report.Fix, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"fix", "--trial", "--quiet", "--config", "none", "--format", "json", "--per-image", "--recipe", r.recipe, "--seed", fmt.Sprint(seed)}
	recipe, err := pol.FindRecipe(r.recipe)
	if err != nil {
		return nil, err
	}
	passOn := heededBy(recipe, opt.passOn)
	if recipe.Name == pol.RecipeTemperature { // the others may go without a temperature
		passOn = slices.DeleteFunc(passOn, func(flag string) bool {
			return opt.training.Temperature == 1 && strings.HasPrefix(flag, "--calibration=")
		})
	}
	args = slices.Concat(args, r.layers, passOn, []string{"--", opt.path})
	process := exec.CommandContext(ctx, program, args...)
	process.Env = withoutFlags(os.Environ())
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	process.WaitDelay = stopDelay
	var stdout, stderr bytes.Buffer
	process.Stdout, process.Stderr = &stdout, &stderr
	err = process.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == exitInterrupted || exit.ExitCode() == exitTerminated) {
		return nil, context.Canceled
	}
	if err != nil && (exit == nil || exit.ExitCode() != exitFailed) {
		return nil, fmt.Errorf("%w: %s", err, firstLine(stderr.String()))
	}
	read, err := report.ReadFix(bytes.NewReader(stdout.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, firstLine(stderr.String()))
	}
	return read, kept.write(r, seed, stdout.Bytes())
}

// withoutFlags is an environment without the variables that set a flag of fix: all
// its flags are on the command line. Where a GPU's libraries are stays.
func withoutFlags(environment []string) []string {
	var names []string
	for _, f := range fixCommand().Flags {
		if f, ok := f.(cli.DocGenerationFlag); ok {
			names = append(names, f.GetEnvVars()...)
		}
	}
	return slices.DeleteFunc(environment, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
}

// firstLine is what a process has complained of.
func firstLine(stderr string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	return strings.TrimPrefix(strings.TrimPrefix(line, "modeldoctor: "), "error: ")
}
