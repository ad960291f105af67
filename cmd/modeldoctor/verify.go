package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func verifyCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:      "verify",
		Usage:     "what differs between two models: bytes, weights per layer, metrics on data",
		ArgsUsage: "A B",
		Description: "Lists the bytes, weights, nodes and metadata in which two files differ, and how far each layer has moved. " +
			"With --data or --val, both are run on the same images and compared image by image. " +
			"The exit status is 0 for equal files and 1 for different ones.",
		Flags:        slices.Concat(dataFlags(), modelFlags(), outputFlags(), append(runFlags(), configFlag())),
		Before:       withConfig,
		Action:       verify,
		OnUsageError: usageError,
	},
		"modeldoctor verify model.onnx fixed.onnx",
		"modeldoctor verify --val holdout model.onnx fixed.onnx",
	)
}

// verify compares two models.
func verify(c *cli.Context) error {
	start := time.Now()
	if c.NArg() != 2 {
		return usage("verify: two models are compared, found %d", c.NArg()).withHint("modeldoctor verify A B; see `modeldoctor verify --help`")
	}
	if err := checkRunFlags(c); err != nil {
		return err
	}
	pathA, pathB := c.Args().Get(0), c.Args().Get(1)
	out, err := readOutput(c, report.Formats(&report.Verify{}), pathA, pathB, c.String("data"), c.String("labels"), c.String("preprocess"))
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(c)
	defer cancel()
	bar := newProgress(c)
	defer bar.finish()
	a, err := onnx.Open(pathA)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := onnx.Open(pathB)
	if err != nil {
		return err
	}
	defer b.Close()
	comparison, err := onnx.Compare(a, b)
	if err != nil {
		return err
	}
	opt, err := graphOptions(c)
	if err != nil {
		return err
	}
	var layers []report.LayerChange
	if network, err := graph.Build(a, opt); err == nil { // else the tensors have to do
		if layers, err = changedLayers(network, comparison); err != nil {
			return err
		}
	}
	result := report.NewVerify(pathA, pathB, comparison, layers)
	if c.String("data") != "" || c.String("val") != "" {
		if result.Measured, err = measureBoth(ctx, c, a, b, opt, bar); err != nil {
			return err
		}
	}
	result.Provenance = provenance(c, nil, start)
	err = out.write(result)
	if err == nil && !comparison.Same {
		return errReported
	}
	return err
}

// changedLayers collects the weights that differ by the blocks of A.
func changedLayers(n *graph.Network, comparison *onnx.Comparison) ([]report.LayerChange, error) {
	moved := map[string]float64{} // ‖Δw‖ by tensor
	for _, t := range comparison.Tensors {
		if t.Compared && t.ElementsChanged > 0 {
			moved[t.Name] = t.NormDelta
		}
	}
	changes := []report.LayerChange{} // nil would say that A is no network
	for _, l := range n.Layers(graph.ByBlock) {
		change := report.LayerChange{Name: l.Name}
		var square, norm float64
		for _, w := range l.Weights {
			tensor := n.Weights[w].Tensor
			if d, ok := moved[tensor.Name]; ok {
				change.Tensors++
				square += d * d
			}
			values, err := tensor.Float32s()
			if err != nil {
				return nil, err
			}
			for _, x := range values {
				norm += float64(x) * float64(x)
			}
		}
		if change.Tensors == 0 {
			continue
		}
		change.DeltaNorm, change.WNorm = report.Number(math.Sqrt(square)), report.Number(math.Sqrt(norm))
		if norm > 0 {
			relative := change.DeltaNorm / change.WNorm
			change.Relative = &relative
		}
		changes = append(changes, change)
	}
	return changes, nil
}

// measureBoth runs both models on the validation images.
func measureBoth(ctx context.Context, c *cli.Context, a, b *onnx.Model, opt graph.Options, bar *progress) (*report.Measured, error) {
	var seen [2]*pol.Evaluation
	var data *images
	for i, m := range []*onnx.Model{a, b} {
		network, err := graph.Build(m, opt)
		if err != nil {
			return nil, err
		}
		if i > 0 && network.Classes != seen[0].Logits.Classes {
			return nil, unreadable(fmt.Errorf("%s has %d classes, %s has %d", m.Path, network.Classes, a.Path, seen[0].Logits.Classes), "models of different classes cannot be compared on the same images; leave --data and --val out")
		}
		runner := graph.NewRunner(network, graph.RunnerOptions{Threads: c.Int("threads")})
		if data == nil { // B is given the very images of A
			if data, err = openValidation(c, m.Path, network); err != nil {
				return nil, err
			}
			if err := data.choosePreprocess(ctx, c, m.Path, network, runner, bar.update); err != nil {
				return nil, err
			}
		} else if data.preprocess, err = data.preprocess.ForInput(network.Input.Height, network.Input.Width); err != nil {
			return nil, err
		}
		bar.finish()
		images := newExamples(data.validation, data.preprocess, network)
		if seen[i], err = pol.Evaluate(ctx, runner, images, func(done, total int) { bar.update(m.Path, done, total) }); err != nil {
			return nil, err
		}
	}
	loss, wrong := seen[0].Drop(seen[1])
	return report.NewMeasured(data.source, report.Part{Name: data.validation.Name(), N: data.validation.Len()},
		seen[0].Figures(), seen[1].Figures(), loss, wrong), nil
}
