package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/view"
	"github.com/modeldoctor/modeldoctor/dataset"
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
		Action:       action(readVerifyOptions, verify),
		OnUsageError: usageError,
	},
		"modeldoctor verify model.onnx fixed.onnx",
		"modeldoctor verify --val holdout model.onnx fixed.onnx",
	)
}

// verifyOptions are the flags of verify.
type verifyOptions struct {
	a, b     string // paths
	model    graph.Options
	measures bool // both are run on data
	data     dataOptions
	run      runOptions
	out      *output
}

func readVerifyOptions(c *cli.Context) (verifyOptions, error) {
	if c.NArg() != 2 {
		return verifyOptions{}, usage("verify: two models are compared, found %d", c.NArg()).withHint("modeldoctor verify A B; see `modeldoctor verify --help`")
	}
	if err := checkVerifyData(c); err != nil {
		return verifyOptions{}, err
	}
	opt := verifyOptions{a: c.Args().Get(0), b: c.Args().Get(1), measures: c.String("data") != "" || c.String("val") != ""}
	var err error
	if opt.run, err = readRunOptions(c); err != nil {
		return opt, err
	}
	if opt.measures { // else parts may be named that nobody looks at
		if opt.data, err = readDiagnosisData(c); err != nil {
			return opt, err
		}
	}
	if opt.out, err = readOutput(c, report.Formats(&report.Verify{}), append(dataFiles(c), opt.a, opt.b)...); err != nil {
		return opt, err
	}
	opt.model, err = readModelOptions(c)
	opt.model.Classes = classesIn(opt.data.path)
	return opt, err
}

// checkVerifyData refuses flags of the data on the command line where there are none. A
// file may hold them for other commands.
func checkVerifyData(c *cli.Context) error {
	if c.String("data") != "" || c.String("val") != "" {
		return nil
	}
	for _, f := range dataFlags() {
		switch name := f.Names()[0]; {
		case name == "preprocess": // may give the image size
		case onCommandLine(c, name) && c.Value(name) != "":
			return usage("--%s concerns images, and without --data or --val none are looked at", name).withHint("name the images, too: modeldoctor verify --val 'test[:1000]' A B")
		}
	}
	return nil
}

// verify compares two models.
func verify(ctx context.Context, opt verifyOptions) error {
	start := time.Now()
	ctx, cancel := opt.run.withTimeout(ctx)
	defer cancel()
	defer opt.run.console.finish()
	a, err := onnx.Open(opt.a)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := onnx.Open(opt.b)
	if err != nil {
		return err
	}
	defer b.Close()
	comparison, err := onnx.Compare(a, b)
	if err != nil {
		return err
	}
	var layers []report.LayerChange
	if network, err := graph.Build(a, opt.model); err == nil { // else the tensors have to do
		if layers, err = view.ChangedLayers(network, comparison); err != nil {
			return err
		}
	}
	result := report.NewVerify(opt.a, opt.b, comparison, layers)
	result.Provenance = provenance(nil, 0, start)
	if opt.measures {
		if result.Measured, result.Provenance, err = measureBoth(ctx, a, b, opt, start); err != nil {
			return err
		}
	}
	for _, m := range []*onnx.Model{a, b} {
		if err := m.Unchanged(); err != nil {
			return err
		}
	}
	if !comparison.Same {
		result.ExitCode = exitFailed
	}
	err = opt.out.write(result)
	if err == nil && !comparison.Same {
		return errReported
	}
	return err
}

// measureBoth runs both models on the validation images, and says where.
func measureBoth(ctx context.Context, a, b *onnx.Model, opt verifyOptions, start time.Time) (*report.Measured, report.Provenance, error) {
	con := opt.run.console
	var seen [2]*pol.Evaluation
	var data images
	var preprocess dataset.Preprocess
	var ran report.Provenance
	opt.run.differentiated = func(*graph.Network) ([]int, error) { return nil, nil }
	for i, file := range []*onnx.Model{a, b} {
		err := onFile(ctx, file, opt.model, opt.run, func(m *loaded) (err error) {
			in := m.network.Input
			if i == 0 {
				if data, err = drawValidation(ctx, opt.data, m, false, con); err != nil {
					return err
				}
				preprocess, _, err = choosePreprocess(ctx, opt.data, m, data.validation, con)
			} else { // B is given the very images of A
				if classes := seen[0].Logits.Classes; m.network.Classes != classes {
					return unreadable(fmt.Errorf("%s has %d classes, %s has %d", b.Path, m.network.Classes, a.Path, classes), "models of different classes cannot be compared on the same images; leave --data and --val out")
				}
				preprocess, err = preprocess.ForInput(in.Height, in.Width)
			}
			if err != nil {
				return err
			}
			con.finish()
			images := examples.New(data.validation, preprocess, in)
			seen[i], err = pol.Evaluate(ctx, m.runner, images, func(done, total int) { con.counting("images")(file.Path, done, total) })
			ran = provenance(m, 0, start)
			if err != nil {
				return err
			}
			return judgeScores(m, seen[i].Logits.Values, con)
		})
		if err != nil {
			return nil, ran, err
		}
	}
	loss, wrong := seen[0].Drop(seen[1])
	return report.NewMeasured(data.source, report.Part{Name: data.validation.Name(), N: data.validation.Len()},
		seen[0].Figures(), seen[1].Figures(), loss, wrong), ran, nil
}
