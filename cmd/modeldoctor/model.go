package main

import (
	"cmp"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/report"
)

// loaded is a model that is ready to run.
type loaded struct {
	network *graph.Network
	runner  *graph.Runner
	gpu     *gpu.Device // that the runner runs on; nil: the processor
}

// load opens a model file and reads it as a network. The caller closes it.
func load(path string, opt graph.Options, run runOptions) (*loaded, error) {
	file, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	network, err := graph.Build(file, opt)
	if err != nil {
		_ = file.Close() // it was only read
		return nil, err
	}
	m, err := ready(network, run)
	if err != nil {
		_ = file.Close()
	}
	return m, err
}

// ready makes a network ready to run.
func ready(n *graph.Network, run runOptions) (*loaded, error) {
	device, err := run.device.open(run.threads)
	if err != nil {
		return nil, err
	}
	opt := graph.RunnerOptions{Threads: run.threads}
	if device != nil {
		opt.Device = device
	}
	return &loaded{n, graph.NewRunner(n, opt), device}, nil
}

// close lets go of the file and of the device, whose error it returns.
func (m *loaded) close() error {
	_ = m.network.Model.Close() // it was only read
	return m.stop()
}

// stop lets go of the device.
func (m *loaded) stop() error {
	m.runner.Close()
	if m.gpu == nil {
		return nil
	}
	return m.gpu.Close()
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
		p.Device = m.describe()
		p.Threads = m.runner.Threads()
	}
	return p
}
