package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"

	"github.com/urfave/cli/v2"
)

// deviceFlags say where a model runs.
func deviceFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag(categoryRun, "device", "WHERE", "auto", "where the model runs: cpu, gpu (or gpu:1 for the second), or auto: a GPU where there is one that this program can use; `modeldoctor devices` lists them"),
		stringFlag(categoryRun, "precision", "KIND", "fp32", "of matrix products on a GPU: fp32, tf32 or bf16"),
		stringFlag(categoryRun, "device-memory", "SIZE", "", "how much of the GPU's memory may be taken, by default all that is free"),
	}
}

// deviceOptions say where a model runs.
type deviceOptions struct {
	gpu      bool // use a GPU
	required bool // and fail without one
	options  gpu.Options
}

// readDevice reads --device.
func readDevice(c *cli.Context) (deviceOptions, error) {
	var o deviceOptions
	kind, ordinal, numbered := strings.Cut(c.String("device"), ":")
	switch {
	case kind == "cpu" && !numbered:
	case kind == "auto" && !numbered:
		o.gpu = driver.Supported
	case kind == "gpu":
		o.gpu, o.required = true, true
		if numbered {
			n, err := strconv.Atoi(ordinal)
			if err != nil || n < 0 {
				return o, usage("--device: %q is not the number of a GPU", ordinal).withHint("`modeldoctor devices` lists them; the first is gpu:0")
			}
			o.options.Ordinal = n
		}
	default:
		return o, usage("--device: %q is none of auto, cpu, gpu, gpu:N", c.String("device"))
	}
	return o, nil
}

// readDeviceOptions reads the flags of deviceFlags.
func readDeviceOptions(c *cli.Context) (deviceOptions, error) {
	o, err1 := readDevice(c)
	precision, err2 := oneOf(c, "precision")
	if err := cmp.Or(err1, err2); err != nil {
		return o, err
	}
	for _, p := range []driver.Precision{driver.FP32, driver.TF32, driver.BF16} {
		if p.String() == precision {
			o.options.Precision = p
		}
	}
	if size := c.String("device-memory"); size != "" {
		var err error
		if o.options.Memory, err = parseBytes("device-memory", size); err != nil {
			return o, err
		}
	}
	return o, nil
}

// open opens the GPU that a model is to run on; nil is the processor. Where a GPU
// is only preferred, the processor takes the place of one that cannot be used.
func (o deviceOptions) open(threads int) (*gpu.Device, error) {
	if !o.gpu {
		return nil, nil
	}
	o.options.Threads = threads
	d, err := gpu.Open(o.options)
	var failed *driver.Error
	switch {
	case err == nil:
		return d, nil
	case o.required && errors.As(err, &failed) && (failed.DeviceLost() || failed.OutOfMemory()):
		return nil, err // there is a GPU, and no flag is wrong
	case o.required:
		return nil, &failure{code: exitUsage, msg: fmt.Sprintf("--device gpu: %v", err), hint: "`modeldoctor devices` says what there is; --device cpu runs without a GPU", err: err}
	}
	return nil, nil
}

// describe is what a report says of where a model runs.
func (m *loaded) describe() string {
	if m.gpu != nil {
		return m.gpu.String()
	}
	return "cpu " + runtime.GOARCH + " " + m.runner.Variant()
}

// arithmetic names what the bits of results depend on. The processor's kernels count as one
// kind: those for AVX2, AVX-512 and NEON give the same bits, and the plain ones are rare.
// Beside the kernels Go itself fuses multiplications with additions, but not on amd64.
func (m *loaded) arithmetic() string {
	if m.gpu != nil {
		return m.gpu.Arithmetic()
	}
	if runtime.GOARCH != "amd64" {
		return "cpu " + runtime.GOARCH
	}
	return "cpu"
}

// deviceFlag is --device of another process that is to run where m does.
func (m *loaded) deviceFlag(run runOptions) string {
	if m.gpu != nil {
		return fmt.Sprintf("gpu:%d", run.device.options.Ordinal)
	}
	return "cpu"
}
