// Command modeldoctor diagnoses and treats image classifiers stored as ONNX files.
//
//	modeldoctor check model.onnx     how much loss each layer could give back, and a verdict
//	modeldoctor fix model.onnx -o fixed.onnx   treat the worst layer, if that helps significantly
//	modeldoctor compare model.onnx   several treatments side by side
//	modeldoctor merge parts          what several machines measured, as one report
//	modeldoctor verify a.onnx b.onnx what differs between two files
//	modeldoctor inspect model.onnx   layers, storage and coverage; needs no data
//	modeldoctor probe model.onnx     run raw tensors: logits, loss, gradient norms
//	modeldoctor explain MD001        what a rule or a figure means, and what to do
//	modeldoctor data get cifar-100   fetch a public data set
//	modeldoctor devices              what models can be run on
//	modeldoctor config show          the configuration in force, and where it comes from
//	modeldoctor completion bash      what makes a shell complete commands and flags
//
// The report goes to stdout, everything else to stderr, with "modeldoctor: " in
// front. An error is one line, a hint of what to do another. Exit codes are
// those of [exitCode].
//
// A flag can stand before or behind the arguments. What is not on the command
// line is taken from the environment (MODELDOCTOR_FAIL_ON), then from the
// configuration file (see [withConfig]), then from the flag's default.
//
// A command reads and checks its flags once, into a struct of plain values (see
// [action]). What follows are functions from values to values, each of which needs
// what the one before it returns: fix opens a [subject], chooses a plan for it,
// prepares a [treatment], tries the target, treats and writes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	dropEmptyVariables()
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		received := <-signals
		signal.Reset() // a second signal ends the program at once
		if received == syscall.SIGTERM {
			cancel(errTerminated)
		} else {
			cancel(nil)
		}
	}()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// dropEmptyVariables makes an empty MODELDOCTOR_ variable mean what people expect:
// that it is not set.
func dropEmptyVariables() {
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); value == "" && strings.HasPrefix(name, variablePrefix) {
			os.Unsetenv(name)
		}
	}
}

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	debug.SetPanicOnFault(true)
	defer func() {
		switch r := recover(); {
		case r == nil:
		case isFault(r):
			fmt.Fprintf(stderr, "modeldoctor: error: a file was cut short while it was read\nmodeldoctor: hint: run the command again when nothing writes to it\n")
			code = exitUnreadable
		default:
			fmt.Fprintf(stderr, "modeldoctor: error: internal error: %v\nmodeldoctor: hint: this is a defect; please report it with the lines below\n%s", r, debug.Stack())
			code = exitInternal
		}
	}()
	app := newApp(stdout, stderr)
	args = flagsFirst(app, args)
	app.Metadata = map[string]any{commandLineKey: namedFlags(app, args)}
	for _, warning := range unknownVariables(app) {
		fmt.Fprintf(stderr, "modeldoctor: warning: %s\n", oneLine(warning))
	}
	err := app.RunContext(ctx, args)
	code = exitCode(err)
	switch {
	case code == exitOK, errors.Is(err, errReported):
	case code == exitInterrupted:
		code = interruptionCode(ctx)
		fmt.Fprintf(stderr, "modeldoctor: %s\n", message(err))
	default:
		fmt.Fprintf(stderr, "modeldoctor: error: %s\n", message(err))
		hint := hintOf(err)
		if command := app.Command(commandIn(args)); hint == generalHelp && command != nil {
			hint = fmt.Sprintf("see `modeldoctor %s --help`", command.Name)
		}
		if hint != "" {
			fmt.Fprintf(stderr, "modeldoctor: hint: %s\n", oneLine(hint))
		}
	}
	return code
}

// isFault reports whether a panic is of an address that cannot be read, such as those of
// a mapped file beyond its end.
func isFault(cause any) bool {
	_, ok := cause.(interface{ Addr() uintptr })
	return ok
}

// commandIn is the command that a command line names, or "".
func commandIn(args []string) string {
	if len(args) < 2 {
		return ""
	}
	return args[1]
}

func newApp(stdout, stderr io.Writer) *cli.App {
	commands := []*cli.Command{checkCommand(), fixCommand(), compareCommand(), mergeCommand(), verifyCommand(), inspectCommand(), probeCommand(), dataCommand(), explainCommand(), devicesCommand(), configCommand(), completionCommand(), versionCommand()}
	return &cli.App{
		Name:                  "modeldoctor",
		Usage:                 "diagnose and treat image classifiers stored as ONNX files",
		Version:               version(),
		Writer:                stdout,
		ErrWriter:             stderr,
		ExitErrHandler:        func(*cli.Context, error) {}, // run prints and maps errors
		OnUsageError:          usageError,
		CustomAppHelpTemplate: appHelp(commands),
		Commands:              commands,
		Action:                noCommand,
	}
}

// noCommand is what happens without a known command.
func noCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	name := c.Args().First()
	f := usage("there is no command %q", name)
	var names []string
	for _, command := range c.App.Commands {
		names = append(names, command.Name)
	}
	if near := closest(name, names); near != "" {
		return f.withHint("did you mean `modeldoctor %s`? see `modeldoctor --help`", near)
	}
	if strings.HasSuffix(name, ".onnx") {
		return f.withHint("did you mean `modeldoctor check %s`?", name)
	}
	return f
}
