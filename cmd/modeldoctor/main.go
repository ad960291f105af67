// Command modeldoctor diagnoses image classifiers stored as ONNX files.
//
//	modeldoctor check model.onnx     which layers have over-fitted, and by how much
//	modeldoctor inspect model.onnx   layers, storage and coverage; needs no data
//	modeldoctor probe model.onnx     run raw tensors: logits, loss, gradient norms
//	modeldoctor explain MD001        what a rule means and what to do about it
//
// The report goes to stdout, everything else to stderr. Exit codes are those of
// [exitCode].
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

	"modeldoctor/dataset"
	"modeldoctor/graph"
	"modeldoctor/onnx"

	"github.com/urfave/cli/v2"
)

func main() {
	dropEmptyVariables()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// dropEmptyVariables makes an empty MODELDOCTOR_ variable mean what people expect:
// that it is not set.
func dropEmptyVariables() {
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); value == "" && strings.HasPrefix(name, "MODELDOCTOR_") {
			os.Unsetenv(name)
		}
	}
}

// The exit codes of every command.
const (
	exitOK          = 0
	exitBreached    = 1   // a rule was breached
	exitUsage       = 2   // wrong flags, arguments or configuration
	exitUnreadable  = 3   // model or data unreadable or unsupported
	exitTimeout     = 4   // the time limit came first; the report is partial
	exitInternal    = 5   // a defect of the program
	exitInterrupted = 130 // interrupted
)

// exitHelp is the table of exit codes as --help shows it.
const exitHelp = `EXIT STATUS:
   0  no rule is breached at the level of --fail-on
   1  a rule is breached
   2  wrong usage or configuration
   3  model or data cannot be read or are not supported
   4  the time limit came first; the report is partial
   5  internal error
   130  interrupted`

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "modeldoctor: error: internal error: %v\nmodeldoctor: hint: this is a defect; please report it with the lines below\n%s", r, debug.Stack())
			code = exitInternal
		}
	}()
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, flagsFirst(app, args))
	if err == nil {
		return exitOK
	}
	code = exitCode(err)
	if errors.Is(err, errBreached) {
		return code // the report has said it
	}
	if code == exitInterrupted {
		fmt.Fprintln(stderr, "modeldoctor: interrupted")
		return code
	}
	fmt.Fprintf(stderr, "modeldoctor: error: %v\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(stderr, "modeldoctor: hint: %s\n", hint)
	}
	return code
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:  "modeldoctor",
		Usage: "diagnose image classifiers stored as ONNX files",
		Description: "Which layers have over-fitted, and how much validation loss could each give back?\n" +
			"Start with `modeldoctor check model.onnx`.",
		Version:               version(),
		Writer:                stdout,
		ErrWriter:             stderr,
		ExitErrHandler:        func(*cli.Context, error) {}, // run prints and maps errors
		OnUsageError:          usageError,
		CustomAppHelpTemplate: cli.AppHelpTemplate + "\n" + exitHelp + "\n",
		Commands:              []*cli.Command{checkCommand(), inspectCommand(), probeCommand(), explainCommand(), versionCommand()},
		Action:                noCommand,
	}
}

// noCommand is what happens without a known command.
func noCommand(c *cli.Context) error {
	if c.Args().Present() {
		return usage("there is no command %q", c.Args().First())
	}
	return cli.ShowAppHelp(c)
}

func usageError(_ *cli.Context, err error, _ bool) error { return &usageErr{msg: err.Error()} }

// usageErr is a mistake in flags, arguments or configuration.
type usageErr struct{ msg, hint string }

func (e *usageErr) Error() string { return e.msg }
func (e *usageErr) Hint() string {
	if e.hint == "" {
		return "see `modeldoctor --help`"
	}
	return e.hint
}

func usage(format string, args ...any) *usageErr {
	return &usageErr{msg: fmt.Sprintf(format, args...)}
}

func (e *usageErr) withHint(hint string) *usageErr { e.hint = hint; return e }

// errBreached ends a check whose report says FAIL.
var errBreached = errors.New("a rule is breached")

// unreadable marks an error about the user's model or data that has no type of
// its own.
type unreadable struct {
	error
	hint string
}

func (e *unreadable) Unwrap() error { return e.error }
func (e *unreadable) Hint() string  { return e.hint }

// exitCode maps an error to the exit code.
func exitCode(err error) int {
	var (
		usage  *usageErr
		format *onnx.FormatError
		model  *graph.Error
		data   *dataset.Error
		other  *unreadable
	)
	switch {
	case errors.Is(err, errBreached):
		return exitBreached
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &model), errors.As(err, &format), errors.As(err, &data), errors.As(err, &other):
		return exitUnreadable
	}
	return exitInternal
}

// hintOf returns what the user can do about an error, or "".
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	var data *dataset.Error
	if errors.As(err, &data) {
		return data.Hint
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "raise --timeout, or use fewer examples (--samples) or layers (--layers)"
	}
	return "this is a defect; please report it with the command line"
}
