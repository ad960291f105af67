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
		rawFlag(),
		thresholdFlag(categoryMethod),
		intFlag(categoryMethod, "race", "K", "search only the K layers that promise most, by a forecast from gradients and two moves; the others are undecided"),
		&cli.Uint64Flag{Name: "seed", Usage: "`N` recorded in the report; check itself draws no random numbers", EnvVars: env("seed"), Category: categoryMethod},
	}
	memory := memoryFlag("about how much the program may take, the pages of the model's file aside; activations that do not fit go to a temporary file, gradients take several passes")
	return withHelp(&cli.Command{
		Name:      "check",
		Usage:     "diagnose each layer: PASS, FAIL (exit status 1) or UNDECIDED",
		ArgsUsage: "MODEL...",
		Description: "For each layer: how much validation loss moving it takes off (ΔL), how much of that holds " +
			"on images that chose neither the direction nor the length of the move (ΔL̂, with a 95 % interval), " +
			"and the curvature (κ), all at the temperature that fits best. Without --data, a model of 100 classes is measured on the built-in CIFAR-100 sample. " +
			"Several models, also as patterns such as 'models/*.onnx', make one report, and the exit status is the highest of theirs; - reads a model from standard input.",
		Flags: slices.Concat(dataFlags(), modelFlags(), method,
			gateFlags(), checkOutputFlags(), shardFlags(), append(runFlags(), budgetFlag(), memory, configFlag())),
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
		"modeldoctor check --shard 2/8 --data images --preprocess imagenet model.onnx",
	)
}

func thresholdFlag(category string) cli.Flag {
	return &cli.Float64Flag{Name: "threshold", Value: diag.DefaultThreshold, Usage: "`SHARE` recoverable loss from which a layer breaches a rule, as a share of the loss", EnvVars: env("threshold"), Category: category}
}

// checkOutputFlags say what is printed of a diagnosis where.
func checkOutputFlags() []cli.Flag {
	return append([]cli.Flag{
		boolFlag(categoryOutput, "wide", "show all columns of the table, such as in-sample ΔL, κ, agreement and the images that each layer needs, however long its lines become"),
		boolFlag(categoryOutput, "per-image", "in JSON, also the loss and the gains of each image, in data order: a later check on the same images is then compared with it image by image (--baseline)"),
		plotFlag(),
	}, outputFlags()...)
}

// readThreshold reads --threshold.
func readThreshold(c *cli.Context) (float64, error) {
	t := c.Float64("threshold")
	if !(t > 0 && t < 1) {
		return 0, usage("--threshold: %v is not between 0 and 1", t).withHint("it is a share of the loss: 0.01 is 1 %%")
	}
	return t, nil
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
	shard       shardOptions
	budget      budget
	diag        diag.Options
	raw         bool // the logits as they came are measured, too
	seed        uint64
	run         runOptions
	out         *output
}

func readCheckOptions(c *cli.Context) (checkOptions, error) {
	paths, err := argumentPaths(c, "MODEL")
	if err != nil {
		return checkOptions{}, err
	}
	if err := leavesStdin(c, paths); err != nil {
		return checkOptions{}, err
	}
	granularity, err1 := oneOf(c, "granularity")
	direction, err2 := oneOf(c, "direction")
	temperature, err3 := readCalibration(c)
	run, err4 := readRunOptions(c)
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		return checkOptions{}, err
	}
	threshold, err := readThreshold(c)
	if err != nil {
		return checkOptions{}, err
	}
	race, budget, err1 := readRace(c)
	gate, err2 := readGateOptions(c, run.console)
	if err := cmp.Or(err1, err2); err != nil {
		return checkOptions{}, err
	}
	shard, err := readShardOptions(c)
	if err != nil {
		return checkOptions{}, err
	}
	data, err1 := readDiagnosisData(c)
	data.mustBeNamed = shard.count > 0
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
		granularity: graph.Granularity(granularity), gate: gate, shard: shard, budget: budget,
		diag: diag.Options{
			Direction:    map[string]diag.Direction{"line": diag.Line, "balanced": diag.Balanced, "descent": diag.Descent}[direction],
			Temperature:  temperature,
			Threshold:    threshold,
			Rules:        gate.rules,
			Suppressions: gate.suppressions,
			PerExample:   c.Bool("per-image"),
			Race:         race,
			Memory:       run.memory,
		},
		raw: c.Bool("with-raw"), seed: c.Uint64("seed"), run: run, out: out,
	}
	if err := opt.checkRaw(); err != nil {
		return opt, err
	}
	opt.limitByDefault(c)
	if shard.count > 0 {
		return opt, opt.shared(c)
	}
	if gate.baseline != "" {
		opt.gate.compared, err = readBaseline(c.Context, gate.baseline, opt.granularity, opt.diag)
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
	left := "no report was made"
	if opt.shard.count > 0 {
		left = "the same command goes on after the layers that are measured"
	}
	return interrupted(diagnoseAndReport(ctx, opt), opt.run.console, left)
}

// diagnoseAndReport is check within the time limit.
func diagnoseAndReport(ctx context.Context, opt checkOptions) error {
	switch {
	case opt.shard.count > 0:
		return checkShard(ctx, opt)
	case len(opt.paths) > 1:
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
	layers, err := selectedLayers(m, opt)
	if err != nil {
		return nil, err
	}
	spent, stop := newSpending(ctx, opt, m.gpu != nil, start)
	defer stop()
	if err := spent.plan(m, &opt, layers); err != nil {
		return nil, err
	}
	p, err := prepareCheck(spent.ctx, m, opt, layers)
	if err != nil {
		return nil, spent.early(err)
	}
	p.options.Progress = spent.progress
	var before *report.Check
	if opt.gate.baseline != "" {
		before = opt.gate.prior(&p.options, cmp.Or(m.network.Model.Path, fromStdin), len(opt.paths), con, func() string {
			digest, _ := p.validation.SHA256() // empty where not all images were read
			return digest
		})
	}
	diagnosis, stopped := diag.Diagnose(spent.ctx, m.runner, p.validation, p.layers, p.options)
	con.finish()
	if diagnosis == nil || m.smaller(stopped) {
		return nil, stopped
	}
	plan := spent.report(diagnosis, stopped, p.data, opt.data.samples, diag.Measurable(p.layers))
	if spent.over(stopped) {
		stopped = nil // the plan says so
	}
	if p.options.Race = nil; diagnosis.Race != nil {
		p.options.Race = &diag.Race{Layers: diagnosis.Race.Searched}
	}
	if err := doubt(spent.ctx, m, p.data, p.detected, p.layers, p.options, diagnosis); err != nil {
		return nil, err
	}
	of, err := p.describe(opt, diagnosis.Complete)
	if err != nil {
		return nil, err
	}
	of.provenance, of.plan = provenance(m, opt.seed, start), plan
	result := opt.gate.report(diagnosis, of, before, stopped)
	if opt.raw && stopped == nil {
		if err := p.addRaw(ctx, diagnosis, con, result); err != nil {
			return nil, err
		}
		result.Provenance = provenance(m, opt.seed, start)
	}
	return result, stopped
}

// selectedLayers are those that --layers names.
func selectedLayers(m *loaded, opt checkOptions) ([]graph.Layer, error) {
	layers, err := graph.SelectLayers(m.network.Layers(opt.granularity), opt.layers)
	if err != nil {
		return nil, usage("--layers: %v", err).withHint("`modeldoctor inspect` lists the layers")
	}
	return layers, m.network.CheckFinite()
}

// prepared is a model and what it is diagnosed on.
type prepared struct {
	*loaded
	layers               []diag.Layer
	data                 images
	preprocess           dataset.Preprocess
	detected             *examples.Detection // nil where the preprocessing was not guessed
	options              diag.Options
	validation, training *examples.Set // the latter nil without training images
}

// prepareCheck draws the images for a model, and completes the options.
func prepareCheck(ctx context.Context, m *loaded, opt checkOptions, layers []graph.Layer) (p *prepared, err error) {
	con := opt.run.console
	p = &prepared{loaded: m, layers: diagLayers(layers), options: opt.diag}
	if p.data, err = drawValidation(ctx, opt.data, m, true, con); err != nil {
		return nil, err
	}
	if p.preprocess, p.detected, err = choosePreprocess(ctx, opt.data, m, p.data.validation, con); err != nil {
		return nil, err
	}
	con.finish()
	p.options.Coverage = m.network.Coverage()
	p.options.PreprocessDetected = p.detected != nil
	p.options.DrawnFrom = dataset.DrawnFrom(p.data.validation)
	p.options.Progress = con.progress
	p.options.Tests = diag.Measurable(diagLayers(m.network.Layers(opt.granularity)))
	p.validation = examples.New(p.data.validation, p.preprocess, m.network.Input)
	if p.data.train != nil {
		p.training = examples.New(p.data.train, p.preprocess, m.network.Input)
		p.options.Training = p.training
	}
	p.options.Memory, p.options.HostMemory = m.memory(p.options.Memory, m.roomOfDiagnosis(p.layers, p.options))
	return p, checkScores(ctx, m, p.validation, con)
}

// described is what a report says of what was diagnosed.
type described struct {
	model       report.Model
	data        report.Data
	granularity graph.Granularity
	skipped     []report.Skipped
	provenance  report.Provenance
	plan        *report.Plan // of a budget; nil without one
}

// describe describes what was diagnosed, but for its provenance: with the digest of the
// images once all have been read.
func (p *prepared) describe(opt checkOptions, read bool) (d described, err error) {
	d = described{model: describeModel(p.network.Model, p.network), data: describeValidation(p.data, p.preprocess), granularity: opt.granularity, skipped: view.Skipped(p.network.Skipped)}
	if d.model.SHA256, err = p.network.Model.SHA256(); err != nil {
		return d, err
	}
	if p.training != nil {
		d.data.Train, d.data.TrainN = p.data.train.Name(), p.training.Len()
		if n := len(examples.Shared(p.training, p.validation)); n > 0 {
			opt.run.console.warn("%d training images are also among the validation images, pixel by pixel", n)
		}
	}
	if read {
		d.data.SHA256, err = p.validation.SHA256()
		warnIfRepeated(opt.run.console, p.validation, "validation")
	}
	return d, err
}

// report is the report on a diagnosis, judged; stopped is why it is incomplete.
func (g *gateOptions) report(d *diag.Report, of described, before *report.Check, stopped error) *report.Check {
	result := report.NewCheck(d)
	result.Plan = of.plan
	report.SetModel(result, of.model)
	result.Data, result.Provenance = of.data, of.provenance
	result.Granularity, result.Skipped = string(of.granularity), of.skipped
	result.Rules = g.settings()
	if before != nil && before.Model.Path != "" {
		result.Baseline = report.NewBaseline(result, g.baseline, before, d.Changes)
	}
	fails := result.Judge(g.Gate)
	switch {
	case stopped != nil:
		result.ExitCode = exitTimeout
	case fails:
		result.ExitCode = exitFailed
	}
	return result
}

// diagLayers hands the network's layers to the diagnosis.
func diagLayers(layers []graph.Layer) []diag.Layer {
	out := make([]diag.Layer, len(layers))
	for i, l := range layers {
		out[i] = diag.Layer{Name: l.Name, Index: l.Index, Weights: l.Weights, Parameters: l.Parameters, Neck: l.Neck}
	}
	return out
}
