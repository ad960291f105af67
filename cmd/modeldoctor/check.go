package main

import (
	"cmp"
	"context"
	"io"
	"time"

	"modeldoctor/diag"
	"modeldoctor/graph"
	"modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func checkCommand() *cli.Command {
	flags := append(dataFlags(), modelFlags()...)
	flags = append(flags,
		&cli.StringSliceFlag{Name: "layers", Usage: "measure only layers whose name matches a `GLOB`, such as 'blocks.1*'; several separated by commas", EnvVars: env("layers"), Category: categoryMethod},
		stringFlag(categoryMethod, "granularity", "block", "what is moved as one: block, module or tensor"),
		stringFlag(categoryMethod, "direction", "line", "path along which a layer is moved: line (against the gradient), balanced (every tensor by the same share of its norm) or descent (several steps)"),
		boolFlag(categoryMethod, "calibrated", "divide the logits by the temperature that fits the data first, to see what no scalar can repair"),
		&cli.Float64Flag{Name: "threshold", Value: diag.DefaultThreshold, Usage: "recoverable loss from which a layer breaches MD001, as a `SHARE` of the loss", EnvVars: env("threshold"), Category: categoryMethod},
		&cli.Uint64Flag{Name: "seed", Usage: "recorded in the report; check itself draws no random numbers", EnvVars: env("seed"), Category: categoryMethod},
		stringFlag(categoryOutput, "fail-on", "error", "lowest level of a rule that fails the check: error, warning or never"),
	)
	flags = append(flags, runFlags()...)
	flags = append(flags, outputFlags()...)
	return &cli.Command{
		Name:      "check",
		Usage:     "diagnose each layer; exit status 1 when a rule is breached",
		ArgsUsage: "MODEL",
		Description: "Measures, for each layer, how much validation loss moving it gives back (ΔL), how much of\n" +
			"that holds on images that chose neither direction nor length (ΔL̂, with a 95 % interval), and the\n" +
			"curvature κ. Without --data, a model of 100 classes is measured on the built-in CIFAR-100 sample.",
		Flags:              append(flags, configFlag()),
		Before:             withConfig,
		Action:             check,
		OnUsageError:       usageError,
		CustomHelpTemplate: cli.CommandHelpTemplate + "\n" + exitHelp + "\n",
	}
}

// check diagnoses one model.
func check(c *cli.Context) error {
	start := time.Now()
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return err
	}
	opt, err := checkOptionsOf(c)
	if err != nil {
		return err
	}
	ctx := c.Context
	if d := c.Duration("timeout"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	bar := newProgress(c)
	defer bar.finish()

	model, network, err := openNetwork(c, path)
	if err != nil {
		return err
	}
	defer model.Close()
	layers, err := graph.SelectLayers(network.Layers(opt.granularity), c.StringSlice("layers"))
	if err != nil {
		return usage("--layers: %v", err)
	}
	if err := network.CheckFinite(); err != nil {
		return err
	}
	data, err := openValidation(c, path, network)
	if err != nil {
		return err
	}
	runner := graph.NewRunner(network, graph.RunnerOptions{Threads: c.Int("threads")})
	if err := data.choosePreprocess(ctx, c, path, network, runner); err != nil {
		return err
	}
	opt.diag.Coverage = network.Coverage()
	opt.diag.PreprocessDetected = data.detected
	opt.diag.Progress = bar.update
	diagnosis, stopped := diag.Diagnose(ctx, runner, data.examples(network), diagLayers(layers), opt.diag)
	bar.finish()
	if diagnosis == nil {
		return stopped
	}
	result := &report.Check{
		Model:      describeModel(model, network),
		Data:       data.describe(),
		Diagnosis:  diagnosis,
		Skipped:    network.Skipped,
		FailOn:     opt.failOn,
		Provenance: provenance(c, runner, start),
	}
	for _, l := range layers {
		result.Model.Analysed += l.Parameters
	}
	if result.Model.SHA256, err = model.SHA256(); err != nil {
		return err
	}
	err = printers{
		text: func(w io.Writer, s report.Style) error { return report.CheckText(w, result, s) },
		json: func(w io.Writer) error { return report.CheckJSON(w, result) },
	}.write(c, opt.destinations)
	switch {
	case err != nil:
		return err
	case stopped != nil:
		return stopped
	case len(result.Failed()) > 0:
		return errBreached
	}
	return nil
}

// checkOptions are the flags of check that can be wrong by themselves; they are
// read before any file is opened.
type checkOptions struct {
	granularity  graph.Granularity
	failOn       diag.Level
	destinations []destination
	diag         diag.Options
}

func checkOptionsOf(c *cli.Context) (checkOptions, error) {
	var opt checkOptions
	granularity, err1 := oneOf(c, "granularity", "block", "module", "tensor")
	direction, err2 := oneOf(c, "direction", "line", "balanced", "descent")
	failOn, err3 := oneOf(c, "fail-on", "error", "warning", "never")
	_, err4 := oneOf(c, "color", "auto", "always", "never")
	memory, err5 := parseBytes(c.String("memory"))
	var err6 error
	opt.destinations, err6 = destinations(c)
	if err := cmp.Or(err1, err2, err3, err4, err5, err6); err != nil {
		return opt, err
	}
	if t := c.Float64("threshold"); !(t > 0 && t < 1) {
		return opt, usage("--threshold: %v is not between 0 and 1", t)
	}
	if c.Int("samples") < 0 || c.Int("batch") < 0 || c.Int("threads") < 0 {
		return opt, usage("--samples, --batch and --threads cannot be negative")
	}
	opt.granularity = graph.Granularity(granularity)
	if failOn != "never" {
		opt.failOn = diag.Level(failOn)
	}
	opt.diag = diag.Options{
		Direction:  map[string]diag.Direction{"line": diag.Line, "balanced": diag.Balanced, "descent": diag.Descent}[direction],
		Calibrated: c.Bool("calibrated"),
		Threshold:  c.Float64("threshold"),
		Memory:     memory,
	}
	return opt, nil
}

// diagLayers hands the network's layers to the diagnosis.
func diagLayers(layers []graph.Layer) []diag.Layer {
	out := make([]diag.Layer, len(layers))
	for i, l := range layers {
		out[i] = diag.Layer{Name: l.Name, Index: l.Index, Weights: l.Weights, Parameters: l.Parameters, Neck: l.Neck}
	}
	return out
}
