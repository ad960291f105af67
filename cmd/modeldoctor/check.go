package main

import (
	"cmp"
	"context"
	"errors"
	"io"
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
		intFlag(categoryMethod, "race", "K", "search only the K layers that promise most, by a forecast from gradients and two moves; the others are undecided"),
		&cli.Uint64Flag{Name: "seed", Usage: "`N` recorded in the report; check itself draws no random numbers", EnvVars: env("seed"), Category: categoryMethod},
	}
	memory := memoryFlag("about how much activations and gradients may take; what does not fit goes to a temporary file or takes several passes")
	wide := boolFlag(categoryOutput, "wide", "show all columns of the table, such as in-sample ΔL, κ, agreement and the images that each layer needs, however long its lines become")
	perImage := boolFlag(categoryOutput, "per-image", "in JSON, also the loss and the gains of each image, in data order: a later check on the same images is then compared with it image by image (--baseline)")
	return withHelp(&cli.Command{
		Name:      "check",
		Usage:     "diagnose each layer: PASS, FAIL (exit status 1) or UNDECIDED",
		ArgsUsage: "MODEL...",
		Description: "For each layer: how much validation loss moving it takes off (ΔL), how much of that holds " +
			"on images that chose neither the direction nor the length of the move (ΔL̂, with a 95 % interval), " +
			"and the curvature (κ), all at the temperature that fits best. Without --data, a model of 100 classes is measured on the built-in CIFAR-100 sample. " +
			"Several models, also as patterns such as 'models/*.onnx', make one report, and the exit status is the highest of theirs; - reads a model from standard input.",
		Flags: slices.Concat(dataFlags(), modelFlags(), method,
			gateFlags(), append([]cli.Flag{wide, perImage, plotFlag()}, outputFlags()...), append(runFlags(), budgetFlag(), memory, configFlag())),
		Before:       withConfig,
		Action:       action(readCheckOptions, check),
		OnUsageError: usageError,
	},
		"modeldoctor check model.onnx",
		"modeldoctor check --data images --val 'val[:1000]' --preprocess imagenet model.onnx",
		"modeldoctor check --fail-on warning --on-undecided fail --format text,json=report.json model.onnx",
		"modeldoctor check --per-image --format json=baseline.json old.onnx",
		"modeldoctor check --baseline baseline.json --fail-on-new new.onnx",
		"modeldoctor check --data images --budget 10m model.onnx",
		"modeldoctor check --data images 'models/*.onnx'",
	)
}

// checkOptions are the flags of check.
type checkOptions struct {
	paths       []string // of models; fromStdin: standard input
	stdin       io.Reader
	model       graph.Options
	data        dataOptions
	layers      []string // patterns; none: all layers
	granularity graph.Granularity
	gate        gateOptions
	budget      time.Duration // 0: none
	diag        diag.Options
	seed        uint64
	run         runOptions
	out         *output
}

func readCheckOptions(c *cli.Context) (checkOptions, error) {
	paths, err := modelPaths(c)
	if err != nil {
		return checkOptions{}, err
	}
	granularity, err1 := oneOf(c, "granularity")
	direction, err2 := oneOf(c, "direction")
	temperature, err3 := readCalibration(c)
	memory, err4 := parseBytes("memory", c.String("memory"))
	run, err5 := readRunOptions(c)
	if err := cmp.Or(err1, err2, err3, err4, err5); err != nil {
		return checkOptions{}, err
	}
	if t := c.Float64("threshold"); !(t > 0 && t < 1) {
		return checkOptions{}, usage("--threshold: %v is not between 0 and 1", t).withHint("it is a share of the loss: 0.01 is 1 %%")
	}
	race, budget, err1 := readRace(c)
	gate, err2 := readGateOptions(c, run.console)
	if err := cmp.Or(err1, err2); err != nil {
		return checkOptions{}, err
	}
	data, err1 := readDiagnosisData(c)
	formats := report.Formats(&report.Check{})
	if len(paths) > 1 {
		formats = report.Formats(&report.Checks{})
	}
	out, err2 := readOutput(c, formats, slices.Concat(dataFiles(c), paths, []string{gate.baseline})...)
	model, err3 := readModelOptions(c)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return checkOptions{}, err
	}
	model.Classes = classesIn(data.path)
	opt := checkOptions{
		paths: paths, stdin: c.App.Reader, model: model, data: data, layers: c.StringSlice("layers"),
		granularity: graph.Granularity(granularity), gate: gate, budget: budget,
		diag: diag.Options{
			Direction:    map[string]diag.Direction{"line": diag.Line, "balanced": diag.Balanced, "descent": diag.Descent}[direction],
			Temperature:  temperature,
			Threshold:    c.Float64("threshold"),
			Rules:        gate.rules,
			Suppressions: gate.suppressions,
			PerExample:   c.Bool("per-image"),
			Race:         race,
			Memory:       memory,
		},
		seed: c.Uint64("seed"), run: run, out: out,
	}
	if gate.baseline != "" {
		opt.gate.compared, err = readBaseline(gate.baseline, opt.granularity, opt.diag)
	}
	return opt, err
}

// check diagnoses one model, or several.
func check(ctx context.Context, opt checkOptions) error {
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
	return interrupted(diagnoseAndReport(ctx, opt), opt.run.console, nothingWritten)
}

// diagnoseAndReport is check within the time limit.
func diagnoseAndReport(ctx context.Context, opt checkOptions) error {
	if len(opt.paths) > 1 {
		return checkSeveral(ctx, opt)
	}
	result, stopped := checkModel(ctx, opt.paths[0], opt)
	if result == nil {
		return stopped
	}
	if err := opt.out.write(result); err != nil {
		return err
	}
	return outcome(result, stopped)
}

// outcome is the error that a diagnosis ends the program with; stopped is why it is
// incomplete.
func outcome(result *report.Check, stopped error) error {
	switch {
	case errors.Is(stopped, context.DeadlineExceeded):
		return &failure{code: exitTimeout, msg: "the time limit came first; the report is incomplete", hint: timeoutHint, err: stopped}
	case result.ExitCode == exitFailed:
		return errReported
	}
	return stopped
}

// checkModel diagnoses the model of a file, or of standard input. Where the time limit
// comes first there are a result and an error.
func checkModel(ctx context.Context, path string, opt checkOptions) (result *report.Check, err error) {
	start := time.Now()
	file, err := openModel(path, opt.stdin)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it is only read
	err = onFile(ctx, file, opt.model, opt.run, func(m *loaded) (err error) {
		result, err = checkLoaded(ctx, m, opt, start)
		return err
	})
	return result, err
}

// checkLoaded is checkModel once the model is ready.
func checkLoaded(ctx context.Context, m *loaded, opt checkOptions, start time.Time) (*report.Check, error) {
	con := opt.run.console
	all := m.network.Layers(opt.granularity)
	layers, err := graph.SelectLayers(all, opt.layers)
	if err != nil {
		return nil, usage("--layers: %v", err).withHint("`modeldoctor inspect` lists the layers")
	}
	if err := m.network.CheckFinite(); err != nil {
		return nil, err
	}
	spent, stop := newSpending(ctx, opt, start)
	defer stop()
	if err := spent.plan(m, &opt, layers); err != nil {
		return nil, err
	}
	data, err := drawValidation(spent.ctx, opt.data, m, true, con)
	if err != nil {
		return nil, spent.early(err)
	}
	preprocess, detected, err := choosePreprocess(spent.ctx, opt.data, m, data.validation, con)
	if err != nil {
		return nil, spent.early(err)
	}
	con.finish()
	options := opt.diag
	options.Memory, options.HostMemory = m.memory(options.Memory)
	options.Coverage = m.network.Coverage()
	options.PreprocessDetected = detected != nil
	options.DrawnFrom = dataset.DrawnFrom(data.validation)
	options.Progress = spent.progress
	options.Tests = diag.Measurable(diagLayers(all))
	validation := examples.New(data.validation, preprocess, m.network.Input)
	if err := checkScores(spent.ctx, m, validation, con); err != nil {
		return nil, spent.early(err)
	}
	var before *report.Check
	if opt.gate.baseline != "" {
		if before = opt.gate.priorOf(cmp.Or(m.network.Model.Path, fromStdin), len(opt.paths)); before == nil {
			con.warn("%s has no report of %s: all that fails in it is new", opt.gate.baseline, cmp.Or(m.network.Model.Path, fromStdin))
			before = &report.Check{}
		}
		options.Prior = report.NewPrior(before, func() string {
			digest, _ := validation.SHA256() // empty where not all images were read
			return digest
		})
	}
	var training *examples.Set
	if data.train != nil {
		training = examples.New(data.train, preprocess, m.network.Input)
		options.Training = training
	}
	diagnosis, stopped := diag.Diagnose(spent.ctx, m.runner, validation, diagLayers(layers), options)
	con.finish()
	if diagnosis == nil || m.smaller(stopped) {
		return nil, stopped
	}
	plan := spent.report(diagnosis, stopped, data, opt.data.samples, diag.Measurable(diagLayers(layers)))
	if spent.over(stopped) {
		stopped = nil // the plan says so
	}
	if options.Race = nil; diagnosis.Race != nil {
		options.Race = &diag.Race{Layers: diagnosis.Race.Searched}
	}
	if err := doubt(spent.ctx, m, data, detected, diagLayers(layers), options, diagnosis); err != nil {
		return nil, err
	}
	result := report.NewCheck(diagnosis)
	result.Plan = plan
	report.SetModel(result, describeModel(m.network.Model, m.network))
	result.Data, result.Provenance = describeValidation(data, preprocess), provenance(m, opt.seed, start)
	result.Granularity, result.Skipped = string(opt.granularity), view.Skipped(m.network.Skipped)
	if training != nil {
		result.Data.Train, result.Data.TrainN = data.train.Name(), training.Len()
		if n := len(examples.Shared(training, validation)); n > 0 {
			con.warn("%d training images are also among the validation images, pixel by pixel", n)
		}
	}
	if diagnosis.Complete {
		if result.Data.SHA256, err = validation.SHA256(); err != nil {
			return nil, err
		}
	}
	if result.Model.SHA256, err = m.network.Model.SHA256(); err != nil {
		return nil, err
	}
	result.Rules = opt.gate.settings()
	if before != nil && before.Model.Path != "" {
		result.Baseline = report.NewBaseline(result, opt.gate.baseline, before, diagnosis.Changes)
	}
	fails := result.Judge(opt.gate.Gate)
	switch {
	case stopped != nil:
		result.ExitCode = exitTimeout
	case fails:
		result.ExitCode = exitFailed
	}
	return result, stopped
}

// diagLayers hands the network's layers to the diagnosis.
func diagLayers(layers []graph.Layer) []diag.Layer {
	out := make([]diag.Layer, len(layers))
	for i, l := range layers {
		out[i] = diag.Layer{Name: l.Name, Index: l.Index, Weights: l.Weights, Parameters: l.Parameters, Neck: l.Neck}
	}
	return out
}
