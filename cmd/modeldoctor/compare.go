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
		Usage:     "run several recipes from the same checkpoint: the table loss, error, s/epoch, memory",
		ArgsUsage: "MODEL",
		Description: "Each recipe treats the same checkpoint on the same images, in a process of its own, so that its peak " +
			"memory is its own. Nothing is written but the report. --perturb and --update concern pol only, whose layers are " +
			"otherwise chosen by one diagnosis.",
		Flags: slices.Concat([]cli.Flag{recipes, repeat}, treatmentFlags(), dataFlags(), modelFlags(),
			outputFlags(), append(runFlags(), append(cacheFlags(), configFlag())...)),
		Before:       withConfig,
		Action:       func(c *cli.Context) error { return untreated(compare(c)) },
		OnUsageError: usageError,
	},
		"modeldoctor compare model.onnx",
		"modeldoctor compare --recipes sgd,pol,temperature --repeat 3 --format markdown,json=table.json model.onnx",
	)
}

// comparison is a run of compare.
type comparison struct {
	*treatment
	c      *cli.Context
	result report.Compare
	bar    *progress
}

// compare runs the recipes one after the other.
func compare(c *cli.Context) error {
	start := time.Now()
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return err
	}
	recipes, err := readRecipes(c)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(recipes, isPoL) && (c.IsSet("perturb") || c.IsSet("update") || c.IsSet("from")) {
		return usage("--perturb, --update and --from concern pol only, which is not among --recipes")
	}
	polRecipe, err := pol.FindRecipe("pol")
	if err != nil {
		panic(err)
	}
	s, err := readSettings(c, polRecipe)
	if err != nil {
		return err
	}
	repeat := c.Int("repeat")
	if repeat < 1 {
		return usage("--repeat: %d is less than 1", repeat)
	}
	out, err := readOutput(c, report.Formats(&report.Compare{}), path, c.String("data"), c.String("labels"), c.String("preprocess"), c.String("from"))
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(c)
	defer cancel()
	bar := newProgress(c)
	defer bar.finish()
	t, err := openTreatment(ctx, c, path, s, bar)
	if err != nil {
		return err
	}
	defer t.close()
	table := &comparison{treatment: t, c: c, bar: bar, result: report.Compare{Model: describeModel(t.original, t.network), Data: t.describeData()}}
	if table.result.Model.SHA256, err = t.original.SHA256(); err != nil {
		return err
	}
	for i := range repeat {
		table.result.Seeds = append(table.result.Seeds, s.options.Seed+uint64(i))
	}
	if err := table.fill(ctx, recipes); err != nil {
		return err
	}
	table.result.Provenance = provenance(c, t.runner, start)
	err = out.write(&table.result)
	if err == nil && !slices.ContainsFunc(table.result.Rows, func(r report.CompareRow) bool { return len(r.Runs) > 0 }) {
		return errReported // no recipe could be run
	}
	return err
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

// fill runs the recipes, one row each.
func (table *comparison) fill(ctx context.Context, recipes []pol.Recipe) error {
	layers := map[string][]string{}
	if slices.ContainsFunc(recipes, isPoL) {
		switch err := table.choose(ctx, table.bar); {
		case errors.Is(err, pol.ErrNothingToTreat):
			layers["pol"] = nil
		case err != nil:
			return err
		default:
			layers["pol"] = []string{"--perturb", strings.Join(pol.Names(table.plan.Perturb), ","), "--update", strings.Join(pol.Names(table.plan.Update), ",")}
		}
	}
	done, total := 0, len(recipes)*len(table.result.Seeds)
	for _, r := range recipes {
		chosen, chooses := layers[r.Name]
		if chooses && chosen == nil {
			table.result.Rows = append(table.result.Rows, report.NewCompareRow(r.Name, nil, pol.ErrNothingToTreat.Error()))
			done += len(table.result.Seeds)
			continue
		}
		var runs []*report.Fix
		failed := ""
		for i, seed := range table.result.Seeds {
			if i > 0 && r.Name == pol.RecipeTemperature {
				break // nothing in it is random
			}
			table.bar.update(fmt.Sprintf("%s, seed %d", r.Name, seed), done, total)
			read, err := table.treatOnce(ctx, r, seed, chosen)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				failed = err.Error()
				break
			}
			table.result.Before = read.Before
			runs = append(runs, read)
			done++
		}
		table.result.Rows = append(table.result.Rows, report.NewCompareRow(r.Name, runs, failed))
	}
	table.bar.finish()
	return nil
}

// stopDelay is how long a process that was interrupted may take to clean up.
const stopDelay = 10 * time.Second

// treatOnce runs one treatment in a process of its own and reads its report.
func (table *comparison) treatOnce(ctx context.Context, r pol.Recipe, seed uint64, layers []string) (*report.Fix, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"fix", "--trial", "--quiet", "--config", "none", "--format", "json", "--recipe", r.Name, "--seed", fmt.Sprint(seed)}
	args = append(args, layers...)
	args = append(args, table.passOn()...)
	process := exec.CommandContext(ctx, program, append(args, "--", table.path)...)
	process.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "MODELDOCTOR_") })
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	process.WaitDelay = stopDelay
	var stdout, stderr bytes.Buffer
	process.Stdout, process.Stderr = &stdout, &stderr
	err = process.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitFailed) {
		return nil, fmt.Errorf("%w: %s", err, firstLine(stderr.String()))
	}
	read, err := report.ReadFix(&stdout)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, firstLine(stderr.String()))
	}
	return read, nil
}

// firstLine is what a process has complained of.
func firstLine(stderr string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	return strings.TrimPrefix(strings.TrimPrefix(line, "modeldoctor: "), "error: ")
}

// passOn spells the flags that fix has, too, and that were set anywhere: on the
// command line, in the environment or in the configuration file.
func (table *comparison) passOn() []string {
	c := table.c
	own := []string{"recipes", "repeat", "seed", "perturb", "update", "from", "granularity", "format", "color", "quiet", "timeout", "config"}
	var args []string
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if slices.Contains(own, name) || !c.IsSet(name) {
			continue
		}
		args = append(args, fmt.Sprintf("--%s=%v", name, c.Value(name)))
	}
	return args
}
