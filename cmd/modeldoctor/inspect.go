package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/view"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func inspectCommand() *cli.Command {
	layers := listFlag(categoryMethod, "layers", "GLOB", nil, "everything about the blocks, modules and tensors whose name matches, such as 'blocks.1*'; several separated by commas. JSON has it for all of them always")
	device := stringFlag(categoryRun, "device", "WHERE", "auto", "gpu: say which operations a GPU would leave to the host")
	return withHelp(&cli.Command{
		Name:      "inspect",
		Usage:     "layers, shapes, storage, coverage; what cannot be run and why; needs no data",
		ArgsUsage: "MODEL",
		Description: "Lists every weight with its layer, shape and storage, and what is not a weight with the reason. " +
			"A model that cannot be run gives the list of nodes in its way, and exit status 3.",
		Flags:        slices.Concat(modelFlags(), []cli.Flag{layers}, outputFlags(), []cli.Flag{device, configFlag()}),
		Before:       withConfig,
		Action:       action(readInspectOptions, inspect),
		OnUsageError: usageError,
	},
		"modeldoctor inspect model.onnx",
		"modeldoctor inspect --layers 'blocks.0.attn*' model.onnx",
	)
}

// inspectOptions are the flags of inspect.
type inspectOptions struct {
	path   string
	model  graph.Options
	layers []string // patterns
	gpu    bool     // name what a GPU would leave to the host
	out    *output
}

func readInspectOptions(c *cli.Context) (inspectOptions, error) {
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return inspectOptions{}, err
	}
	out, err1 := readOutput(c, report.Formats(&report.Inspect{}), path)
	model, err2 := readModelOptions(c)
	device, err3 := readDevice(c)
	if device.required && !driver.Supported {
		err3 = usage("--device gpu: built without GPU support").withHint("rebuild with -tags gpu")
	}
	return inspectOptions{path: path, model: model, layers: c.StringSlice("layers"), gpu: device.required, out: out}, cmp.Or(err1, err2, err3)
}

// inspect describes one model.
func inspect(_ context.Context, opt inspectOptions) error {
	model, err := onnx.Open(opt.path)
	if err != nil {
		return err
	}
	defer model.Close()
	inspection, err := graph.Inspect(model, opt.model)
	if err != nil {
		return err
	}
	var chosen []graph.Layer
	described, input := describeFile(model), ""
	if n := inspection.Network; n != nil {
		described = describeModel(model, n)
		input = fmt.Sprintf("%s %v %s of %d×%d", n.Input.Name, n.Input.DType, n.Input.Layout, n.Input.Height, n.Input.Width)
		if chosen, err = chooseLayers(n, opt.layers); err != nil {
			return err
		}
	}
	result := view.Inspect(inspection, chosen)
	result.Model, result.Input = described, input
	if inspection.Network != nil && opt.gpu {
		onHost, err := inspection.Network.OnHost(gpu.HasKernel)
		if err != nil {
			return err
		}
		result.Notes = append(result.Notes, report.OnHostNote(onHost))
	}
	err = opt.out.write(result)
	if err == nil && inspection.Network == nil {
		return inspection.Refusal(model)
	}
	return err
}

// chooseLayers returns the layers of all granularities whose names match, nil
// without patterns.
func chooseLayers(n *graph.Network, patterns []string) ([]graph.Layer, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	var all []graph.Layer
	for _, g := range graph.Granularities() {
		all = append(all, n.Layers(g)...)
	}
	chosen, err := graph.SelectLayers(all, patterns)
	if err != nil {
		return nil, usage("--layers: %v", err).withHint("`modeldoctor inspect` without --layers lists them")
	}
	return chosen, nil
}
