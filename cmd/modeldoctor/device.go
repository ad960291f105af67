package main

import (
	"runtime"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"

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

// device is what computes. It is opened when a model is first made ready, and given
// back when the program ends.
type device struct {
	name    string // as the flag has it
	options gpu.Options
	opened  *gpu.Device // nil: the host
	tried   bool
}

func readDevice(c *cli.Context) (*device, error) {
	d := &device{name: c.String("device"), options: gpu.Options{Threads: c.Int("threads")}}
	kind, ordinal, numbered := strings.Cut(d.name, ":")
	var err error
	if numbered {
		d.options.Ordinal, err = strconv.Atoi(ordinal)
	}
	if err != nil || kind != "gpu" && (numbered || kind != "cpu" && kind != "auto") {
		return nil, usage("--device: %q is none of cpu, gpu, gpu:N and auto", d.name)
	}
	precisions := []driver.Precision{driver.FP32, driver.TF32, driver.BF16}
	precision, err := oneOf(c, "precision", "fp32", "tf32", "bf16")
	if err != nil {
		return nil, err
	}
	for _, p := range precisions {
		if p.String() == precision {
			d.options.Precision = p
		}
	}
	if size := c.String("device-memory"); size != "" {
		if d.options.Memory, err = parseBytes(size); err != nil {
			return nil, usage("--device-memory: %q is not a size such as 512MB or 4GiB", size)
		}
	}
	return d, nil
}

// open returns the GPU to compute on, or nil for the host.
func (d *device) open() (*gpu.Device, error) {
	if d.tried || d.name == "cpu" {
		return d.opened, nil
	}
	opened, err := gpu.Open(d.options)
	if err != nil && d.name != "auto" {
		return nil, usage("--device %s: %v", d.name, err).withHint("`modeldoctor devices` lists what there is")
	}
	d.opened, d.tried = opened, true
	return opened, nil
}

// build reads a model with a batch that suits the device.
func (d *device) build(open func(graph.Options) (*graph.Network, error), opt graph.Options) (*graph.Network, error) {
	opened, err := d.open()
	if err != nil {
		return nil, err
	}
	if opened != nil {
		opt.ForwardBytes = opened.Memory() / 16
	}
	return open(opt)
}

// runnerOptions say how a network is run on the device.
func (d *device) runnerOptions(threads int) graph.RunnerOptions {
	opt := graph.RunnerOptions{Threads: threads}
	if d.opened != nil {
		opt.Device, opt.BackwardBytes = d.opened, d.opened.Memory()/4
	}
	return opt
}

// describe is what a report says of where a runner computes.
func (d *device) describe(r *graph.Runner) string {
	if d.opened != nil {
		return d.opened.String()
	}
	return "cpu " + runtime.GOARCH + " " + r.Variant()
}
