package main

import (
	"cmp"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// openNetwork opens a model file and reads it as a network. The caller closes
// the model.
func openNetwork(c *cli.Context, path string) (*onnx.Model, *graph.Network, error) {
	opt, err := graphOptions(c)
	if err != nil {
		return nil, nil, err
	}
	model, err := onnx.Open(path)
	if err != nil {
		return nil, nil, err
	}
	network, err := graph.Build(model, opt)
	if err != nil {
		model.Close()
		return nil, nil, err
	}
	return model, network, nil
}

// graphOptions reads the flags of modelFlags.
func graphOptions(c *cli.Context) (graph.Options, error) {
	height, width, err := parseSize(c.String("image-size"))
	return graph.Options{
		Batch:  c.Int("run-batch"),
		NoFuse: c.Bool("no-fuse"),
		Height: height,
		Width:  width,
		Output: c.String("output"),
	}, err
}

// describeFile is what a file says of itself.
func describeFile(m *onnx.Model) report.Model {
	producer := strings.TrimSpace(m.Producer + " " + m.ProducerVersion)
	return report.Model{
		Path: m.Path, Producer: cmp.Or(producer, "unknown producer"), Opset: m.Opset(""), IRVersion: m.IRVersion,
	}
}

// describeModel is what a file is as a network.
func describeModel(m *onnx.Model, n *graph.Network) report.Model {
	d := describeFile(m)
	d.Parameters, d.Classes, d.Family = n.Parameters(), n.Classes, n.Family()
	d.SoftmaxRemoved, d.FixedBatch = n.SoftmaxRemoved, n.Input.FixedBatch
	return d
}

// provenance says how this run came about. r is nil where no model was run.
func provenance(c *cli.Context, r *graph.Runner, start time.Time) report.Provenance {
	p := report.Provenance{
		Version:   version(),
		Command:   append([]string{c.App.Name}, os.Args[1:]...),
		Seed:      c.Uint64("seed"),
		Device:    "cpu " + runtime.GOARCH,
		Seconds:   time.Since(start).Seconds(),
		PeakBytes: peakBytes(),
	}
	if r != nil {
		p.Device += " " + r.Variant()
		p.Threads = r.Threads()
	}
	return p
}
