package main

import (
	"cmp"
	"context"
	"runtime"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/onnx"

	"github.com/urfave/cli/v2"
)

// deviceFlags say what computes.
func deviceFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag(categoryRun, "device", "NAME", "auto", "what computes: cpu, gpu, gpu:1 for the second one, or auto for a GPU if there is one. `modeldoctor devices` lists them"),
		stringFlag(categoryRun, "precision", "NAME", "fp32", "of matrix products on a GPU: fp32, or, faster, tf32 or bf16"),
		stringFlag(categoryRun, "device-memory", "SIZE", "", "memory that may be taken on a GPU, by default what is free"),
	}
}

// device is what computes. A GPU is given back when the program ends.
type device struct {
	gpu *gpu.Device // nil: the processor
}

// readDevice opens what the flags of deviceFlags name.
func readDevice(c *cli.Context) (device, error) {
	name := c.String("device")
	opt := gpu.Options{Threads: c.Int("threads")}
	kind, ordinal, numbered := strings.Cut(name, ":")
	var err error
	if numbered {
		opt.Ordinal, err = strconv.Atoi(ordinal)
	}
	if err != nil || kind != "gpu" && (numbered || kind != "cpu" && kind != "auto") {
		return device{}, usage("--device: %q is none of cpu, gpu, gpu:N and auto", name)
	}
	precision, err := oneOf(c, "precision", "fp32", "tf32", "bf16")
	if err != nil {
		return device{}, err
	}
	for _, p := range []driver.Precision{driver.FP32, driver.TF32, driver.BF16} {
		if p.String() == precision {
			opt.Precision = p
		}
	}
	if size := c.String("device-memory"); size != "" {
		if opt.Memory, err = parseBytes(size); err != nil {
			return device{}, usage("--device-memory: %q is not a size such as 512MB or 4GiB", size)
		}
	}
	if kind == "cpu" {
		return device{}, nil
	}
	// Options may be read once for each of several recipes.
	const key = "device"
	if opened, ok := c.App.Metadata[key].(device); ok {
		return opened, nil
	}
	var opened device
	if opened.gpu, err = gpu.Open(opt); err != nil && kind == "gpu" {
		return device{}, usage("--device %s: %v", name, err).withHint("`modeldoctor devices` lists what there is")
	}
	c.App.Metadata[key] = opened
	return opened, nil
}

// build reads a model, with a batch that suits the device.
func (d device) build(m *onnx.Model, opt graph.Options) (*graph.Network, error) {
	if d.gpu != nil {
		opt.ForwardBytes = d.gpu.Memory() / 16
	}
	return graph.Build(m, opt)
}

// load makes a model ready to run, with fewer images at a time if the device has no
// room for as many as were thought to fit.
func (d device) load(file *onnx.Model, opt graph.Options, run runOptions) (*loaded, error) {
	asked := 0
	for {
		network, err := d.build(file, opt)
		if err != nil {
			return nil, err
		}
		m := ready(network, run)
		if d.gpu == nil {
			return m, nil
		}
		if err = m.runner.Try(context.Background()); err == nil {
			if asked != 0 {
				run.console.warn("the GPU has no room for %d images at a time, %d are computed", asked, network.Batch)
			}
			return m, nil
		}
		m.runner.Close()
		if !graph.OutOfMemory(err) || network.Batch == 1 || network.Input.FixedBatch > 0 {
			return nil, err
		}
		asked, opt.Batch = cmp.Or(asked, network.Batch), network.Batch/2
	}
}

// runnerOptions say how a network is run on the device.
func (d device) runnerOptions(threads int) graph.RunnerOptions {
	opt := graph.RunnerOptions{Threads: threads}
	if d.gpu != nil {
		opt.Device, opt.BackwardBytes = d.gpu, d.gpu.Memory()/4
	}
	return opt
}

// memory is what activations may take, given what --memory says: of a GPU half of
// what is free.
func (d device) memory(host int64) int64 {
	if d.gpu != nil {
		return d.gpu.Memory() / 2
	}
	return host
}

// describe is what a report says of where a runner computes.
func (d device) describe(r *graph.Runner) string {
	if d.gpu != nil {
		return d.gpu.String()
	}
	return "cpu " + runtime.GOARCH + " " + r.Variant()
}
