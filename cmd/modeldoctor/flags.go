package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"

	"github.com/urfave/cli/v2"
)

// variablePrefix begins the name of every environment variable that sets a flag.
const variablePrefix = "MODELDOCTOR_"

// env is the environment variable of a flag.
func env(name string) []string {
	return []string{variablePrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

// The categories under which --help lists flags.
const (
	categoryTarget   = "Target"
	categoryData     = "Data"
	categoryModel    = "Model"
	categoryMethod   = "Method"
	categoryTraining = "Training"
	categoryGate     = "Gate"
	categoryOutput   = "Output"
	categoryRun      = "Resources"
)

// The constructors below take the placeholder of the flag's value for --help,
// and the description.

func stringFlag(category, name, placeholder, value, help string) *cli.StringFlag {
	return &cli.StringFlag{Name: name, Value: value, Usage: "`" + placeholder + "` " + help, EnvVars: env(name), Category: category}
}

// fileFlag is a flag that may name a file. In a configuration file it is looked
// for beside that.
func fileFlag(category, name, placeholder, help string) *cli.StringFlag {
	f := stringFlag(category, name, placeholder, "", help)
	f.TakesFile = true
	return f
}

func listFlag(category, name, placeholder string, value []string, help string) *cli.StringSliceFlag {
	return &cli.StringSliceFlag{Name: name, Value: cli.NewStringSlice(value...), Usage: "`" + placeholder + "` " + help, EnvVars: env(name), Category: category}
}

func intFlag(category, name, placeholder, help string) *cli.IntFlag {
	return &cli.IntFlag{Name: name, Usage: "`" + placeholder + "` " + help, EnvVars: env(name), Category: category}
}

func boolFlag(category, name, help string) *cli.BoolFlag {
	return &cli.BoolFlag{Name: name, Usage: help, EnvVars: env(name), Category: category, DisableDefaultText: true}
}

// modelFlags say how a model is read.
func modelFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag(categoryModel, "image-size", "SIZE", "", "image size, N or HxW, where the model leaves it open; by default that of its preprocessing file or metadata"),
		stringFlag(categoryModel, "input-layout", "LAYOUT", "", "order of the input's dimensions where it is not recognised: nchw, nhwc, nhw (one channel), flat-chw or flat-hwc (one dimension)"),
		stringFlag(categoryModel, "output", "NAME", "", "output that holds the class scores; by default logits, or the first of shape [N, classes]"),
		boolFlag(categoryModel, "no-fuse", "run every operator by itself, without fused kernels"),
	}
}

// runFlags bound what a command that runs the model uses.
func runFlags() []cli.Flag {
	return append([]cli.Flag{
		intFlag(categoryRun, "threads", "N", "number of threads, by default one per processor; results do not depend on it"),
		intFlag(categoryRun, "run-batch", "N", "images that are computed at a time, by default chosen by the model's size"),
		&cli.DurationFlag{Name: "timeout", Usage: "`TIME` stop after this long, such as 90s or 5m, with exit status 4; check and compare then give a partial report", EnvVars: env("timeout"), Category: categoryRun},
		boolFlag(categoryRun, "profile", "print on stderr what each kind of operation took, in the end; not on a GPU"),
	}, deviceFlags()...)
}

// outputFlags say what is printed where.
func outputFlags() []cli.Flag {
	quiet := boolFlag(categoryOutput, "quiet", "print no progress on stderr")
	quiet.Aliases = []string{"q"}
	return []cli.Flag{
		listFlag(categoryOutput, "format", "FORMAT", []string{"text"}, "text or json (check, fix, compare and verify: html, md, sarif, junit and github, too), to stdout; json=FILE and the like, to a file; several separated by commas. github prints annotations for a job of GitHub's, beside the text if that is named, and appends to its summary"),
		stringFlag(categoryOutput, "color", "WHEN", "auto", "colour the text: auto (on a terminal, unless NO_COLOR is set), always or never"),
		quiet,
	}
}

func memoryFlag(help string) cli.Flag {
	return stringFlag(categoryRun, "memory", "SIZE", "4GiB", help+"; without the flag it is no more than three quarters of what the machine or container has; on a GPU, it is how much activations may take of the host's memory where half of --device-memory is too little")
}

func configFlag() cli.Flag {
	return stringFlag(categoryRun, "config", "FILE", "", "configuration, by default .modeldoctor.yaml here or in a folder above; none: read no file")
}

// action is what a command does: read makes plain values of the flags and
// arguments and finds whatever is wrong with them by themselves; do works with
// these. No flag is read anywhere else. Where the work ends without a report, the files
// for it say so; see [reporting].
func action[T any](read func(*cli.Context) (T, error), do func(context.Context, T) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		opt, err := read(c)
		if err != nil {
			return whereSet(c, err)
		}
		return reporting(c, func() error { return do(c.Context, opt) })
	}
}

// readModelOptions reads the flags of modelFlags, and --run-batch.
func readModelOptions(c *cli.Context) (graph.Options, error) {
	height, width, err1 := parseSize(c.String("image-size"))
	layout, err2 := parseLayout(c.String("input-layout"))
	preprocess := c.String("preprocess") // empty where the command has no such flag
	return graph.Options{
		ImageSize: func(m *onnx.Model) (height, width int, err error) {
			size, err := dataset.FindSize(dataset.ModelFile{Path: m.Path, Metadata: m.Metadata}, preprocess)
			return size[0], size[1], err
		},
		Batch:  c.Int("run-batch"),
		NoFuse: c.Bool("no-fuse"),
		Height: height,
		Width:  width,
		Layout: layout,
		Output: c.String("output"),
	}, cmp.Or(err1, err2)
}

// parseLayout reads --input-layout.
func parseLayout(s string) (graph.Layout, error) {
	if s == "" {
		return "", nil
	}
	var names []string
	for _, l := range graph.Layouts() {
		if strings.EqualFold(string(l), s) {
			return l, nil
		}
		names = append(names, strings.ToLower(string(l)))
	}
	return "", usage("--input-layout: %q is none of %s", s, strings.Join(names, ", "))
}

// runOptions are what a command that runs the model may use, and where it tells
// how far it is.
type runOptions struct {
	threads int           // 0: one per processor
	timeout time.Duration // 0: none
	device  deviceOptions
	memory  int64 // --memory; 0: the command has none
	profile bool  // print what operations took
	console *console
	// differentiated are the weights of a network whose gradients the command takes;
	// nil, or an error: it may be all.
	differentiated func(*graph.Network) ([]int, error)
}

// tried are the weights whose gradients a GPU must have room for.
func (o *runOptions) tried(n *graph.Network) []int {
	if o.differentiated != nil {
		if weights, err := o.differentiated(n); err == nil { // else the command itself will say what is wrong
			return weights
		}
	}
	return n.AllWeights()
}

// readRunOptions reads the flags of runFlags, and --quiet.
func readRunOptions(c *cli.Context) (runOptions, error) {
	for _, bound := range []struct {
		name string
		most int
	}{{"threads", 1 << 14}, {"run-batch", 1 << 20}} {
		switch n := c.Int(bound.name); {
		case n < 0:
			return runOptions{}, usage("--%s: %d is negative", bound.name, n)
		case n > bound.most:
			return runOptions{}, usage("--%s: %d is more than %d", bound.name, n, bound.most)
		}
	}
	opt := runOptions{threads: c.Int("threads"), timeout: c.Duration("timeout"), console: newConsole(c.App.ErrWriter, c.Bool("quiet"))}
	if opt.timeout < 0 {
		return runOptions{}, usage("--timeout: %v is negative", opt.timeout)
	}
	var err error
	if opt.device, err = readDeviceOptions(c); err != nil {
		return opt, err
	}
	if size := c.String("memory"); size != "" {
		if opt.memory, err = parseBytes("memory", size); err != nil {
			return opt, err
		}
		if !c.IsSet("memory") {
			opt.memory = withinMachine(opt.memory, graph.UsableMemory())
		}
	}
	if opt.profile = c.Bool("profile"); opt.profile {
		if opt.device.required {
			return opt, usage("--profile: operations on a GPU are not timed one by one").withHint("--device cpu")
		}
		opt.device.gpu = false
	}
	return opt, err
}

// withinMachine bounds what the program takes by itself by what there is, 0 if that is
// not known: a quarter is left to all else, such as pages of the model's file.
func withinMachine(memory, usable int64) int64 {
	if usable <= 0 {
		return memory
	}
	return min(memory, usable/4*3)
}

// withTimeout bounds a context by --timeout.
func (o *runOptions) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.timeout > 0 {
		return context.WithTimeout(ctx, o.timeout)
	}
	return context.WithCancel(ctx)
}

// oneArgument returns the only argument.
func oneArgument(c *cli.Context, what string) (string, error) {
	switch c.NArg() {
	case 1:
		return c.Args().First(), nil
	case 0:
		return "", usage("%s: %s is missing", c.Command.Name, what).
			withHint("modeldoctor %s %s; see `modeldoctor %[1]s --help`", c.Command.Name, c.Command.ArgsUsage)
	}
	return "", usage("%s: one %s at a time, found %q besides %q", c.Command.Name, what, c.Args().Get(1), c.Args().First())
}

// flagsFirst moves a command's flags in front of its arguments, because the
// library stops at the first argument and people write them in either order.
// What stands behind -- is an argument whatever it looks like.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	command := app.Command(args[1])
	if command == nil || command.SkipFlagParsing {
		return args
	}
	withValue := map[string]bool{}
	for _, f := range command.Flags {
		for _, name := range f.Names() {
			withValue[name] = takesValue(f)
		}
	}
	var flags, rest []string
	for i := 2; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		name := strings.TrimLeft(arg, "-")
		if name == "help" || name == "h" {
			return slices.Concat(args[:2], []string{arg}) // the library would look for help on an argument
		}
		flags = append(flags, arg)
		if withValue[name] {
			if i++; i == len(args) { // its value is missing: no argument must pass for it
				return slices.Concat(args[:2], flags)
			}
			flags = append(flags, args[i])
		}
	}
	return slices.Concat(args[:2], flags, []string{"--"}, rest)
}

// parseBytes reads the value of a flag that is a memory size, such as 512MB,
// 1.5GiB or 2g.
func parseBytes(flag, s string) (int64, error) {
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
		return 0, usage("--%s: %q is not a size such as 512MB or 4GiB", flag, s)
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
