package main

import (
	"cmp"
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/internal/peak"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/report"
)

// loaded is a model that is ready to run.
type loaded struct {
	network *graph.Network
	runner  *graph.Runner
	gpu     *gpu.Device // that the runner runs on; nil: the processor
	run     runOptions
	limit   *int64   // that the heap had before; nil: none was set
	profile *profile // nil: none is wanted
	stopped bool
}

// load reads a file as a network, ready to run. The caller stops it.
func load(ctx context.Context, file *onnx.Model, opt graph.Options, run runOptions) (*loaded, error) {
	device, err := run.device.open(run.threads)
	if err != nil {
		return nil, err
	}
	m, err := fit(ctx, file, opt, run, device)
	if err != nil && device != nil {
		_ = device.Close() // the first error says more
	}
	return m, err
}

// Shares of a GPU's memory that the activations of one batch may take, by which
// its size and where a backward pass is cut are chosen. The latter counts every
// value twice, for its gradient; what a pass takes in the end is half of that, since
// gradients live shortly and not every value is kept: for a ViT-B/16 and 128 images
// 15 GB of 34 GB, so that 80 GB are enough for one pass without a cut.
const (
	forwardShare  = 16
	backwardShare = 2
)

// fit reads a file as a network, with batches for which the device has room.
func fit(ctx context.Context, file *onnx.Model, opt graph.Options, run runOptions, device *gpu.Device) (*loaded, error) {
	if device != nil {
		opt.ForwardBytes = device.Memory() / forwardShare
	}
	asked := 0
	for {
		network, err := graph.Build(file, opt)
		if err != nil {
			return nil, err
		}
		m := on(device, network, run)
		if device == nil {
			return m, nil
		}
		if err = m.runner.Try(ctx, run.tried(network)); err == nil {
			if asked != 0 {
				run.console.warn("the GPU has no room for %d images at a time: %d are computed (--run-batch)", asked, network.Batch)
			}
			// Anew, without what the trial has taken.
			m.runner.Close()
			return on(device, network, run), nil
		}
		m.runner.Close()
		if !m.smaller(err) {
			return nil, err
		}
		asked, opt.Batch = cmp.Or(asked, network.Batch), network.Batch/2
	}
}

// smaller reports whether an error says that a GPU has no room, and there may be for
// fewer images at a time.
func (m *loaded) smaller(err error) bool {
	return m.gpu != nil && graph.OutOfMemory(err) && m.network.Batch > 1 && m.network.Input.FixedBatch == 0
}

// on makes a network ready to run on a device, of which it takes possession; nil
// is the processor.
func on(device *gpu.Device, n *graph.Network, run runOptions) *loaded {
	opt := graph.RunnerOptions{Threads: run.threads}
	m := &loaded{network: n, gpu: device, run: run}
	if run.profile {
		m.profile = newProfile(run.console)
		opt.Profile = &m.profile.steps
	}
	switch {
	case device != nil:
		opt.Device, opt.BackwardBytes = device, device.Memory()/backwardShare
	case run.memory > 0:
		opt.BackwardBytes = min(graph.DefaultBackwardBytes, run.memory/hostBackwardShare)
	}
	m.runner = graph.NewRunner(n, opt)
	return m
}

// ready makes a network ready to run.
func ready(n *graph.Network, run runOptions) (*loaded, error) {
	device, err := run.device.open(run.threads)
	if err != nil {
		return nil, err
	}
	return on(device, n, run), nil
}

// onModel opens a model, does something with it and closes it. Where a GPU turns out
// to have no room for what is done, it is done anew with fewer images at a time.
func onModel(ctx context.Context, path string, model graph.Options, run runOptions, do func(*loaded) error) error {
	file, err := onnx.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() // it is only read
	return onFile(ctx, file, model, run, do)
}

// onFile is onModel for a file that is open, and stays so.
func onFile(ctx context.Context, file *onnx.Model, model graph.Options, run runOptions, do func(*loaded) error) error {
	for {
		m, err := load(ctx, file, model, run)
		if err != nil {
			return err
		}
		err = do(m)
		if changed := file.Unchanged(); err != nil && changed != nil {
			err = changed // which is why: values were no numbers, or could not be read
		}
		if stopped := m.stop(); err == nil {
			err = stopped
		}
		if !m.smaller(err) {
			return err
		}
		// The trial has not taken what a diagnosis or a treatment holds.
		model.Batch = m.network.Batch / 2
		run.console.warn("the GPU has no room for all that is held and %d images at a time: begun anew with %d (--run-batch)", m.network.Batch, model.Batch)
	}
}

// close lets go of the file and of the device, whose error it returns.
func (m *loaded) close() error {
	_ = m.network.Model.Close() // it was only read
	return m.stop()
}

// stop lets go of the device, unless that was done before.
func (m *loaded) stop() error {
	if m.stopped {
		return nil
	}
	m.stopped = true
	if m.limit != nil {
		debug.SetMemoryLimit(*m.limit)
	}
	m.profile.write(cmp.Or(m.network.Model.Path, fromStdin))
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
		Path: cmp.Or(m.Path, fromStdin), Producer: cmp.Or(producer, "unknown producer"), Opset: m.Opset(""), IRVersion: m.IRVersion,
	}
}

// describeModel is what a file is as a network.
func describeModel(m *onnx.Model, n *graph.Network) report.Model {
	d := describeFile(m)
	d.Parameters, d.Classes, d.Family = n.Parameters(), n.Classes, n.Family()
	d.SoftmaxRemoved, d.FixedBatch, d.Ending = n.Ending.Softmax(), n.Input.FixedBatch, n.Ending.Note()
	if len(m.Outputs) > 1 {
		d.Output = n.Output
	}
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
		PeakBytes: peak.Resident(),
	}
	if m != nil {
		p.Device = m.describe()
		p.Threads = m.runner.Threads()
	}
	return p
}
