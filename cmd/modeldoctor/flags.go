package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// env is the environment variable of a flag.
func env(name string) []string {
	return []string{"MODELDOCTOR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

// The categories under which --help lists flags.
const (
	categoryData   = "Data"
	categoryModel  = "Model"
	categoryMethod = "Method"
	categoryOutput = "Output"
	categoryRun    = "Resources"
)

func stringFlag(category, name, value, help string) *cli.StringFlag {
	return &cli.StringFlag{Name: name, Value: value, Usage: help, EnvVars: env(name), Category: category}
}

func boolFlag(category, name, help string) *cli.BoolFlag {
	return &cli.BoolFlag{Name: name, Usage: help, EnvVars: env(name), Category: category}
}

func intFlag(category, name string, value int, help string) *cli.IntFlag {
	return &cli.IntFlag{Name: name, Value: value, Usage: help, EnvVars: env(name), Category: category}
}

// modelFlags say how a model is read.
func modelFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag(categoryModel, "image-size", "", "image `SIZE` (N or HxW) where the model leaves it open"),
		stringFlag(categoryModel, "output", "", "`NAME` of the output that holds the class scores (default: logits, or the first [N, classes])"),
		boolFlag(categoryModel, "no-fuse", "run every operator by itself, without fused kernels"),
	}
}

// runFlags bound what a command uses.
func runFlags() []cli.Flag {
	return []cli.Flag{
		intFlag(categoryRun, "threads", 0, "`N` threads (default: all processors); results do not depend on it"),
		stringFlag(categoryRun, "memory", "4GiB", "about how much `MEMORY` activations and gradients may take; what does not fit goes to a temporary file or takes several passes"),
		intFlag(categoryRun, "batch", 0, "`N` examples per run (default: chosen by the model's size)"),
		&cli.DurationFlag{Name: "timeout", Usage: "stop after this `TIME` with a partial report and exit status 4", EnvVars: env("timeout"), Category: categoryRun},
	}
}

// outputFlags say what is printed where.
func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "format", Value: cli.NewStringSlice("text"), Usage: "text or json, or `FORMAT=FILE` to write a file; several separated by commas", EnvVars: env("format"), Category: categoryOutput},
		stringFlag(categoryOutput, "color", "auto", "colour the text: auto, always or never"),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress on stderr", EnvVars: env("quiet"), Category: categoryOutput},
	}
}

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "configuration `FILE` (default: .modeldoctor.yaml here or in a folder above; none: no file)", EnvVars: env("config"), Category: categoryRun}
}

// oneArgument returns the only argument.
func oneArgument(c *cli.Context, what string) (string, error) {
	switch c.NArg() {
	case 1:
		return c.Args().First(), nil
	case 0:
		return "", usage("%s: %s is missing", c.Command.Name, what).withHint(fmt.Sprintf("modeldoctor %s %s", c.Command.Name, c.Command.ArgsUsage))
	}
	return "", usage("%s: one %s at a time, found %q besides %q", c.Command.Name, what, c.Args().Get(1), c.Args().First())
}

// flagsFirst moves a command's flags in front of its arguments, because the
// library stops at the first argument and people write them in either order.
// Everything behind -- stays where it is.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	command := app.Command(args[1])
	if command == nil {
		return args
	}
	takesValue := map[string]bool{}
	for _, f := range command.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	var flags, rest []string
	for i := 2; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		flags = append(flags, arg)
		if name := strings.TrimLeft(arg, "-"); takesValue[name] && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return slices.Concat(args[:2], flags, rest)
}

// oneOf checks an enumerated flag.
func oneOf(c *cli.Context, flag string, allowed ...string) (string, error) {
	v := c.String(flag)
	if !slices.Contains(allowed, v) {
		return "", usage("--%s: %q is none of %s", flag, v, strings.Join(allowed, ", "))
	}
	return v, nil
}

// parseBytes reads a memory size such as 512MB, 1.5GiB or 2g.
func parseBytes(s string) (int64, error) {
	units := []struct {
		suffix string
		bytes  float64
	}{
		{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
		{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
		{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1},
	}
	text, factor := strings.ToLower(strings.TrimSpace(s)), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x > 0) || x*factor > 1<<50 {
		return 0, usage("--memory: %q is not a size such as 512MB or 4GiB", s)
	}
	return int64(x * factor), nil
}

// parseSize reads --image-size.
func parseSize(s string) (height, width int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	h, w, both := strings.Cut(strings.ToLower(s), "x")
	if !both {
		w = h
	}
	height, err1 := strconv.Atoi(h)
	width, err2 := strconv.Atoi(w)
	if err1 != nil || err2 != nil || height <= 0 || width <= 0 {
		return 0, 0, usage("--image-size: %q is not N or HxW", s)
	}
	return height, width, nil
}
