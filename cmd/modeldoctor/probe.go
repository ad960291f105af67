package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"modeldoctor/graph"
	"modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func probeCommand() *cli.Command {
	flags := append([]cli.Flag{
		&cli.StringFlag{Name: "input", Usage: "`FILE` of little-endian float32 values in the model's own layout, any number of examples", EnvVars: env("input"), Category: categoryData},
		&cli.StringFlag{Name: "labels", Usage: "class `NUMBERS` of the examples, separated by commas; without them there is no loss and no gradient", Category: categoryData},
	}, modelFlags()...)
	flags = append(flags, runFlags()...)
	flags = append(flags, outputFlags()...)
	return &cli.Command{
		Name:         "probe",
		Usage:        "run raw tensors: logits, probabilities, loss, gradient norms",
		ArgsUsage:    "--input FILE.f32 [--labels 3,7,…] MODEL",
		Description:  "This is how one compares with another runtime.",
		Flags:        append(flags, configFlag()),
		Before:       withConfig,
		Action:       probe,
		OnUsageError: usageError,
	}
}

func probe(c *cli.Context) error {
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return err
	}
	list, err := destinations(c)
	if err != nil {
		return err
	}
	if c.String("input") == "" {
		return usage("probe: --input is missing")
	}
	model, network, err := openNetwork(c, path)
	if err != nil {
		return err
	}
	defer model.Close()
	input, err := readFloats(c.String("input"), network)
	if err != nil {
		return err
	}
	labels, err := parseLabels(c.String("labels"), len(input)/network.Input.Elements(), network.Classes)
	if err != nil {
		return err
	}
	if err := network.CheckFinite(); err != nil {
		return err
	}
	runner := graph.NewRunner(network, graph.RunnerOptions{Threads: c.Int("threads")})
	outcome, err := graph.Probe(c.Context, runner, input, labels)
	if err != nil {
		return err
	}
	result := &report.Probe{Model: describeModel(model, network), Network: network, Labels: labels, Result: outcome}
	if result.Model.SHA256, err = model.SHA256(); err != nil {
		return err
	}
	return printers{
		text: func(w io.Writer, s report.Style) error { return report.ProbeText(w, result, s) },
		json: func(w io.Writer) error { return report.ProbeJSON(w, result) },
	}.write(c, list)
}

// readFloats reads a whole number of inputs of the network.
func readFloats(path string, n *graph.Network) ([]float32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &unreadable{err, "give raw little-endian float32 values, as numpy's tofile writes them"}
	}
	size := 4 * n.Input.Elements()
	if len(data) == 0 || len(data)%size != 0 {
		return nil, &unreadable{
			fmt.Errorf("%s: %d bytes are not a whole number of inputs of %d bytes (%s, %d×%d×%d float32)", path, len(data), size, n.Input.Layout, n.Input.Channels, n.Input.Height, n.Input.Width),
			"give raw little-endian float32 values in the model's own layout",
		}
	}
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
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
			return nil, usage("--labels: %q is not a class number", field)
		}
		if y < 0 || y >= classes {
			return nil, &unreadable{fmt.Errorf("--labels: class %d of a model of %d classes", y, classes), "classes are numbered from 0"}
		}
		labels = append(labels, y)
	}
	if len(labels) != examples {
		return nil, usage("--labels: %d labels for %d examples", len(labels), examples)
	}
	return labels, nil
}
