package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/view"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func checkCommand() *cli.Command {
	method := []cli.Flag{
		listFlag(categoryMethod, "layers", "GLOB", nil, "only layers whose name matches, such as 'blocks.1*'; several separated by commas"),
		stringFlag(categoryMethod, "granularity", "KIND", "block", "what is moved as one: block, module or tensor"),
		stringFlag(categoryMethod, "direction", "KIND", "line", "path along which a layer is moved: line (against the gradient), balanced (every tensor by the same share of its norm) or descent (several steps)"),
		calibrationFlag("what it cannot repair is then seen"),
		&cli.Float64Flag{Name: "threshold", Value: diag.DefaultThreshold, Usage: "`SHARE` recoverable loss from which a layer breaches a rule, as a share of the loss", EnvVars: env("threshold"), Category: categoryMethod},
		&cli.Uint64Flag{Name: "seed", Usage: "`N` recorded in the report; check itself draws no random numbers", EnvVars: env("seed"), Category: categoryMethod},
	}
	memory := memoryFlag("about how much activations and gradients may take; what does not fit goes to a temporary file or takes several passes")
	failOn := stringFlag(categoryOutput, "fail-on", "LEVEL", "error", "lowest level of a breached rule that makes the verdict FAIL and the exit status 1: error or warning; never: the exit status is not 1, whatever the verdict")
	onUndecided := stringFlag(categoryOutput, "on-undecided", "HOW", "warn", "what the verdict UNDECIDED does, where the images do not suffice for another: pass, warn (exit status 0, with a hint) or fail (exit status 1, unless --fail-on is never)")
	wide := boolFlag(categoryOutput, "wide", "show all columns of the table, such as the images that each layer needs, however long its lines become")
	return withHelp(&cli.Command{
		Name:      "check",
		Usage:     "diagnose each layer: PASS, FAIL (exit status 1) or UNDECIDED",
		ArgsUsage: "MODEL",
		Description: "For each layer: how much validation loss moving it takes off (ΔL), how much of that holds " +
			"on images that chose neither the direction nor the length of the move (ΔL̂, with a 95 % interval), " +
			"and the curvature (κ), all at the temperature that fits best. Without --data, a model of 100 classes is measured on the built-in CIFAR-100 sample.",
		Flags: slices.Concat(dataFlags(), modelFlags(), method,
			append([]cli.Flag{failOn, onUndecided, wide, plotFlag()}, outputFlags()...), append(runFlags(), memory, configFlag())),
		Before:       withConfig,
		Action:       action(readCheckOptions, check),
		OnUsageError: usageError,
	},
		"modeldoctor check model.onnx",
		"modeldoctor check --data images --val 'val[:1000]' --preprocess imagenet model.onnx",
		"modeldoctor check --fail-on warning --on-undecided fail --format text,json=report.json model.onnx",
	)
}

// checkOptions are the flags of check.
type checkOptions struct {
	path        string
	model       graph.Options
	data        dataOptions
	layers      []string // patterns; none: all layers
	granularity graph.Granularity
	failOn      string
	onUndecided string
	diag        diag.Options
	seed        uint64
	run         runOptions
	out         *output
}

func readCheckOptions(c *cli.Context) (checkOptions, error) {
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return checkOptions{}, err
	}
	granularity, err1 := oneOf(c, "granularity", "block", "module", "tensor")
	direction, err2 := oneOf(c, "direction", "line", "balanced", "descent")
	failOn, err3 := oneOf(c, "fail-on", string(diag.LevelError), string(diag.LevelWarning), report.FailNever)
	onUndecided, err4 := oneOf(c, "on-undecided", report.UndecidedPass, report.UndecidedWarn, report.UndecidedFail)
	temperature, err5 := readCalibration(c)
	memory, err6 := parseBytes("memory", c.String("memory"))
	run, err7 := readRunOptions(c)
	if err := cmp.Or(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return checkOptions{}, err
	}
	if t := c.Float64("threshold"); !(t > 0 && t < 1) {
		return checkOptions{}, usage("--threshold: %v is not between 0 and 1", t).withHint("it is a share of the loss: 0.01 is 1 %%")
	}
	data, err1 := readDiagnosisData(c)
	out, err2 := readOutput(c, report.Formats(&report.Check{}), append(dataFiles(c), path)...)
	model, err3 := readModelOptions(c)
	model.Classes = classesIn(data.path)
	return checkOptions{
		path: path, model: model, data: data, layers: c.StringSlice("layers"),
		granularity: graph.Granularity(granularity),
		failOn:      failOn, onUndecided: onUndecided,
		diag: diag.Options{
			Direction:   map[string]diag.Direction{"line": diag.Line, "balanced": diag.Balanced, "descent": diag.Descent}[direction],
			Temperature: temperature,
			Threshold:   c.Float64("threshold"),
			Memory:      memory,
		},
		seed: c.Uint64("seed"), run: run, out: out,
	}, cmp.Or(err1, err2, err3)
}

// check diagnoses one model.
func check(ctx context.Context, opt checkOptions) error {
	start := time.Now()
	ctx, cancel := opt.run.withTimeout(ctx)
	defer cancel()
	defer opt.run.console.finish()
	opt.run.differentiated = func(n *graph.Network) (weights []int, err error) {
		layers, err := graph.SelectLayers(n.Layers(opt.granularity), opt.layers)
		for _, l := range layers {
			weights = append(weights, l.Weights...)
		}
		return weights, err
	}
	err := onModel(ctx, opt.path, opt.model, opt.run, func(m *loaded) error { return checkLoaded(ctx, m, opt, start) })
	return interrupted(err, opt.run.console, nothingWritten)
}

// checkLoaded is check once the model is open.
func checkLoaded(ctx context.Context, m *loaded, opt checkOptions, start time.Time) error {
	con := opt.run.console
	all := m.network.Layers(opt.granularity)
	layers, err := graph.SelectLayers(all, opt.layers)
	if err != nil {
		return usage("--layers: %v", err).withHint("`modeldoctor inspect` lists the layers")
	}
	if err := m.network.CheckFinite(); err != nil {
		return err
	}
	data, err := drawValidation(ctx, opt.data, m, true, con)
	if err != nil {
		return err
	}
	preprocess, detected, err := choosePreprocess(ctx, opt.data, m, data.validation, con)
	if err != nil {
		return err
	}
	con.finish()
	options := opt.diag
	options.Memory, options.HostMemory = m.memory(options.Memory)
	options.Coverage = m.network.Coverage()
	options.PreprocessDetected = detected != nil
	options.DrawnFrom = dataset.DrawnFrom(data.validation)
	options.Progress = con.progress
	options.Tests = diag.Measurable(diagLayers(all))
	validation := examples.New(data.validation, preprocess, m.network.Input)
	if err := checkScores(ctx, m, validation, con); err != nil {
		return err
	}
	var training *examples.Set
	if data.train != nil {
		training = examples.New(data.train, preprocess, m.network.Input)
		options.Training = training
	}
	diagnosis, stopped := diag.Diagnose(ctx, m.runner, validation, diagLayers(layers), options)
	con.finish()
	if diagnosis == nil || m.smaller(stopped) {
		return stopped
	}
	if err := doubt(ctx, m, data, detected, diagLayers(layers), options, diagnosis); err != nil {
		return err
	}
	result := report.NewCheck(diagnosis)
	result.Model, result.Data, result.Provenance = describeModel(m.network.Model, m.network), describeValidation(data, preprocess), provenance(m, opt.seed, start)
	result.Granularity, result.Skipped = string(opt.granularity), view.Skipped(m.network.Skipped)
	if training != nil {
		result.Data.Train, result.Data.TrainN = data.train.Name(), training.Len()
		if n := len(examples.Shared(training, validation)); n > 0 {
			con.warn("%d training images are also among the validation images, pixel by pixel", n)
		}
	}
	if diagnosis.Complete {
		if result.Data.SHA256, err = validation.SHA256(); err != nil {
			return err
		}
	}
	for _, l := range layers {
		result.Model.Analysed += l.Parameters
	}
	if result.Model.SHA256, err = m.network.Model.SHA256(); err != nil {
		return err
	}
	fails := result.Judge(opt.failOn, opt.onUndecided)
	switch {
	case !result.Complete:
		result.ExitCode = exitTimeout
	case fails:
		result.ExitCode = exitFailed
	}
	err = opt.out.write(result)
	switch {
	case err != nil:
		return err
	case errors.Is(stopped, context.DeadlineExceeded):
		return &failure{code: exitTimeout, msg: "the time limit came first; the report is incomplete", hint: timeoutHint, err: stopped}
	case fails:
		return errReported
	}
	return stopped
}

// diagLayers hands the network's layers to the diagnosis.
func diagLayers(layers []graph.Layer) []diag.Layer {
	out := make([]diag.Layer, len(layers))
	for i, l := range layers {
		out[i] = diag.Layer{Name: l.Name, Index: l.Index, Weights: l.Weights, Parameters: l.Parameters, Neck: l.Neck}
	}
	return out
}
