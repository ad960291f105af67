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
)

// loaded is a model that is ready to run.
type loaded struct {
	network *graph.Network
	runner  *graph.Runner
	device  device
}

// load opens a model file and reads it as a network. The caller closes it.
func load(path string, opt graph.Options, run runOptions) (*loaded, error) {
	file, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := run.device.load(file, opt, run)
	if err != nil {
		_ = file.Close() // it was only read
		return nil, err
	}
	return m, nil
}

// ready makes a network ready to run.
func ready(n *graph.Network, run runOptions) *loaded {
	return &loaded{n, graph.NewRunner(n, run.device.runnerOptions(run.threads)), run.device}
}

func (m *loaded) close() { _ = m.network.Model.Close() } // it was only read

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

// provenance says how this run came about. m is nil where no model was run.
func provenance(m *loaded, seed uint64, start time.Time) report.Provenance {
	p := report.Provenance{
		Version:   version(),
		Command:   append([]string{"modeldoctor"}, os.Args[1:]...),
		Seed:      seed,
		Device:    "cpu " + runtime.GOARCH,
		Seconds:   time.Since(start).Seconds(),
		PeakBytes: peakBytes(),
	}
	if m != nil {
		p.Device = m.device.describe(m.runner)
		p.Threads = m.runner.Threads()
	}
	return p
}
