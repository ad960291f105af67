package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/view"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func probeCommand() *cli.Command {
	input := []cli.Flag{
		fileFlag(categoryData, "input", "FILE", "little-endian float32 values in the model's own layout, any number of inputs"),
		// check has a flag of this name and another meaning, so that this one
		// stands on the command line only.
		&cli.StringFlag{Name: "labels", Usage: "`3,7,…` class numbers of the inputs, separated by commas; without them there is no loss and no gradient", Category: categoryData},
	}
	return withHelp(&cli.Command{
		Name:      "probe",
		Usage:     "run raw tensors: logits, probabilities, loss, gradient norms",
		ArgsUsage: "--input FILE MODEL",
		Description: "This is how one compares with another runtime: nothing is done to the input, " +
			"which Python writes with array.astype(numpy.float32).tofile(FILE).",
		Flags:        slices.Concat(input, modelFlags(), outputFlags(), runFlags(), []cli.Flag{configFlag()}),
		Before:       withConfig,
		Action:       action(readProbeOptions, probe),
		OnUsageError: usageError,
	},
		"modeldoctor probe --input x.f32 model.onnx",
		"modeldoctor probe --input x.f32 --labels 3,7 --format json model.onnx",
	)
}

// probeOptions are the flags of probe.
type probeOptions struct {
	path   string
	model  graph.Options
	input  string // file
	labels string // as they stand on the command line
	run    runOptions
	out    *output
}

func readProbeOptions(c *cli.Context) (probeOptions, error) {
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return probeOptions{}, err
	}
	opt := probeOptions{path: path, input: c.String("input"), labels: c.String("labels")}
	if opt.run, err = readRunOptions(c); err != nil {
		return opt, err
	}
	if opt.out, err = readOutput(c, report.Formats(&report.Probe{}), path, opt.input); err != nil {
		return opt, err
	}
	if opt.input == "" {
		return opt, usage("probe: --input is missing").withHint("modeldoctor probe %s; see `modeldoctor probe --help`", c.Command.ArgsUsage)
	}
	opt.model, err = readModelOptions(c)
	return opt, err
}

// probe runs a model on raw values.
func probe(ctx context.Context, opt probeOptions) error {
	ctx, cancel := opt.run.withTimeout(ctx)
	defer cancel()
	return onModel(ctx, opt.path, opt.model, opt.run, func(m *loaded) error { return probeLoaded(ctx, m, opt) })
}

// probeLoaded is probe once the model is open.
func probeLoaded(ctx context.Context, m *loaded, opt probeOptions) error {
	input, err := readFloats(ctx, opt.input, m.network)
	if err != nil {
		return err
	}
	labels, err := parseLabels(opt.labels, len(input)/m.network.Input.Elements(), m.network.Classes)
	if err != nil {
		return err
	}
	if err := m.network.CheckFinite(); err != nil {
		return err
	}
	outcome, err := graph.Probe(ctx, m.runner, input, labels)
	if err != nil {
		return err
	}
	if err := judgeScores(m, slices.Concat(outcome.Logits...), opt.run.console); err != nil {
		opt.run.console.warn("%v", err) // a comparison with another runtime is of any numbers
	}
	result := view.Probe(m.network, labels, outcome)
	result.Model = describeModel(m.network.Model, m.network)
	if result.Model.SHA256, err = m.network.Model.SHA256(); err != nil {
		return err
	}
	if err := opt.out.write(result); err != nil {
		return err
	}
	for i, logits := range outcome.Logits {
		if slices.ContainsFunc(logits, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }) {
			return unreadable(fmt.Errorf("%s: the logits of input %d are not finite", opt.path, i), "something in the model overflows for this input, or divides by zero")
		}
	}
	return nil
}

// maxProbed is the most bytes of inputs that are read.
const maxProbed = 1 << 30

// readFloats reads a whole number of inputs of the network.
func readFloats(ctx context.Context, path string, n *graph.Network) ([]float32, error) {
	f, err := openInput(ctx, path)
	if err != nil {
		return nil, unreadable(err, "give raw little-endian float32 values, as numpy's tofile writes them")
	}
	defer f.Close() // it is only read
	data, err := io.ReadAll(io.LimitReader(f, maxProbed+1))
	if err == nil && len(data) > maxProbed {
		err = fmt.Errorf("%s: more than %d MiB", path, maxProbed>>20)
	}
	if err != nil {
		return nil, unreadable(err, "give raw little-endian float32 values, as numpy's tofile writes them")
	}
	size := 4 * n.Input.Elements()
	if len(data) == 0 || len(data)%size != 0 {
		return nil, unreadable(
			fmt.Errorf("%s: %d bytes are not a whole number of inputs of %d bytes (%s, %d×%d×%d float32)", path, len(data), size, n.Input.Layout, n.Input.Channels, n.Input.Height, n.Input.Width),
			"give raw little-endian float32 values in the model's own layout")
	}
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		x := float64(values[i])
		if n.Input.Integers() && (x != math.Trunc(x) || x < 0 || x > math.MaxUint8) {
			return nil, unreadable(fmt.Errorf("%s: value %d of input %d is %v, and the model's input is of type %v", path, i%n.Input.Elements(), i/n.Input.Elements(), x, n.Input.DType),
				"give the bytes of the pixels, 0 to 255, as float32 values: array.astype(numpy.float32).tofile(FILE)")
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, unreadable(fmt.Errorf("%s: value %d of input %d is %v: all have to be finite", path, i%n.Input.Elements(), i/n.Input.Elements(), x),
				"give raw little-endian float32 values, as numpy's tofile writes them: another type or byte order reads as such values")
		}
	}
	return values, nil
}

// parseLabels reads --labels; nil where it is empty.
func parseLabels(text string, examples, classes int) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	var labels []int
	for field := range strings.SplitSeq(text, ",") {
		y, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil {
			return nil, usage("--labels: %q is not a class number", field).withHint("write one number per input: --labels 3,7")
		}
		if y < 0 || y >= classes {
			return nil, unreadable(fmt.Errorf("--labels: class %d of a model of %d classes", y, classes), "classes are numbered from 0")
		}
		labels = append(labels, y)
	}
	if len(labels) != examples {
		return nil, usage("--labels: %d labels for %d inputs", len(labels), examples).withHint("write one number per input: --labels 3,7")
	}
	return labels, nil
}
