package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func devicesCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:         "devices",
		Usage:        "what models can be run on: the processor, and GPUs or why there is none",
		Flags:        slices.Concat(outputFlags(), []cli.Flag{configFlag()}),
		Before:       withConfig,
		Action:       action(readDevicesOptions, devices),
		OnUsageError: usageError,
	}, "modeldoctor devices")
}

func readDevicesOptions(c *cli.Context) (*output, error) {
	if c.Args().Present() {
		return nil, usage("devices: found %q, expected no argument", c.Args().First())
	}
	return readOutput(c, report.Formats(&report.Devices{}))
}

// devices lists what there is. That there is no GPU is no error.
func devices(_ context.Context, out *output) error {
	result := &report.Devices{
		CPU:  report.CPU{Architecture: runtime.GOARCH, Kernels: kernel.Best().String(), Threads: runtime.GOMAXPROCS(0)},
		GPUs: []report.GPU{},
	}
	gpus, err := driver.List()
	if err != nil {
		result.NoGPU = report.Optional(err.Error())
	}
	for _, g := range gpus {
		described := report.GPU{
			Ordinal: g.Ordinal, Name: g.Name, Memory: g.Memory, Library: g.Library,
			Capability: fmt.Sprintf("%d.%d", g.Major, g.Minor), Driver: cudaVersion(g.DriverVersion),
		}
		if g.CublasVersion != 0 {
			described.CUBLAS = report.Optional(cudaVersion(g.CublasVersion))
		}
		result.GPUs = append(result.GPUs, described)
	}
	return out.write(result)
}

// cudaVersion writes a version that is given as 1000·major + 10·minor.
func cudaVersion(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }
