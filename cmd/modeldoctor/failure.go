package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/urfave/cli/v2"
)

// The exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1   // a rule was breached, no significant gain, or a difference
	exitUsage       = 2   // wrong flags, arguments or configuration
	exitUnreadable  = 3   // model or data unreadable or unsupported
	exitTimeout     = 4   // the time limit came first; the report is partial
	exitInternal    = 5   // a defect of the program, or of its surroundings
	exitInterrupted = 130 // interrupted, as a shell says of SIGINT
	exitTerminated  = 143 // ended by SIGTERM, likewise
)

// exitHelp is the table of exit codes as --help shows it.
const exitHelp = `Exit status
  0    done: no rule is breached at the level of --fail-on (PASS, or UNDECIDED
       unless --on-undecided fail), or --fail-on is never, or with --fail-on-new
       nothing is new; a treated file is written, or two files are the same
  1    a rule is breached (FAIL), the images do not decide and --on-undecided is
       fail, no treatment helps significantly, or two files differ
  2    wrong usage or configuration
  3    model or data cannot be read or are not supported
  4    the time limit came first; the report of check or compare is then partial
  5    internal error, or a file cannot be written
  130  interrupted (SIGINT)
  143  ended by another program (SIGTERM)
Of several models the highest of theirs.
`

// errReported ends a command whose report says that it failed: a rule is
// breached, a treatment is not accepted, two models differ.
var errReported = errors.New("the report says what failed")

// failure is an error that knows its exit code.
type failure struct {
	code int
	msg  string // one line; empty: that of err
	hint string // what the user can do about it
	err  error  // the cause; may be nil
}

func (f *failure) Error() string {
	if f.msg == "" {
		return f.err.Error()
	}
	return f.msg
}

func (f *failure) Unwrap() error { return f.err }

// Hint returns what the user can do about it.
func (f *failure) Hint() string { return f.hint }

// generalHelp is the hint of a mistake that has none of its own. Where a command is
// known, [run] names its help instead.
const generalHelp = "see `modeldoctor --help`"

// usage is a mistake in flags, arguments or configuration.
func usage(format string, args ...any) *failure {
	return &failure{code: exitUsage, msg: fmt.Sprintf(format, args...), hint: generalHelp}
}

// errTerminated is the cause of a context that SIGTERM has ended.
var errTerminated = errors.New("terminated")

// interruptionCode is the exit code of a command whose context a signal has ended.
func interruptionCode(ctx context.Context) int {
	if errors.Is(context.Cause(ctx), errTerminated) {
		return exitTerminated
	}
	return exitInterrupted
}

const nothingWritten = "nothing was written"

// interrupted is the end of a command that a signal has come before, and says how far
// it was and what of it is left. Any other error, and one that says that, is returned as it is.
func interrupted(err error, con *console, left string) error {
	var said *failure
	if !errors.Is(err, context.Canceled) || errors.As(err, &said) && said.code == exitInterrupted {
		return err
	}
	at := ""
	if con.phase != "" {
		at = " at " + con.reached()
	}
	return &failure{code: exitInterrupted, msg: fmt.Sprintf("interrupted%s; %s", at, left), err: err}
}

func (f *failure) withHint(format string, args ...any) *failure {
	f.hint = fmt.Sprintf(format, args...)
	return f
}

// unreadable is a fault of the user's model or data that has no type of its own.
func unreadable(err error, hint string) *failure {
	return &failure{code: exitUnreadable, err: err, hint: hint}
}

// closest returns the name that a mistyped one was meant to be, or "".
func closest(mistyped string, names []string) string {
	best, least := "", 1+len(mistyped)/3
	for _, name := range names {
		if d := editDistance(strings.ToLower(mistyped), strings.ToLower(name)); d <= least && (best == "" || d < least) {
			best, least = name, d
		}
	}
	return best
}

// editDistance is the number of bytes to insert, remove or replace to make a
// into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// exitCode maps an error to the exit code.
func exitCode(err error) int {
	var (
		own     *failure
		format  *onnx.FormatError
		model   *graph.Error
		data    *dataset.Error
		set     *pol.DataError
		library cli.ExitCoder
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailed
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &model), errors.As(err, &format), errors.As(err, &data), errors.As(err, &set):
		return exitUnreadable
	case errors.As(err, &library): // `modeldoctor help NONSENSE`
		return exitUsage
	}
	return exitInternal
}

// message is what is said about an error, in one line.
func message(err error) string {
	var own *failure
	text := err.Error()
	if !errors.As(err, &own) || own.msg == "" {
		switch exitCode(err) {
		case exitTimeout:
			text = "the time limit came first; there is nothing to report yet"
		case exitInterrupted:
			text = "interrupted"
		}
	}
	// Errors quote names and lists from files, which may hold anything, and much.
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return oneLine(text)
}

// oneLine makes a text, which may quote names from anywhere, one line that moves no
// cursor and turns no writing around.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || unicode.IsSpace(r) || unicode.Is(unicode.Join_Control, r) { // which Persian and Hindi spell with
			return r
		}
		return unicode.ReplacementChar
	}, strings.Join(strings.FieldsFunc(text, unicode.IsControl), " "))
}

// maxMessage is the most bytes of an error that are said.
const maxMessage = 2 << 10

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
	var gpu *driver.Error
	if errors.As(err, &gpu) {
		return gpuHint(gpu)
	}
	var file *fs.PathError
	switch code := exitCode(err); {
	case code == exitTimeout:
		return timeoutHint
	case code == exitUsage:
		return generalHelp
	case errors.As(err, &file) && (file.Path == os.Stdout.Name() || file.Path == os.Stderr.Name()):
		return "make room where the output goes, or send it somewhere else"
	case errors.As(err, &file): // activations that do not fit --memory
		return "the folder for temporary files (TMPDIR) must be writable and have room; with a larger --memory less is written"
	}
	return "this is a defect; please report it with the command line"
}

func gpuHint(e *driver.Error) string {
	switch {
	case e.OutOfMemory():
		return "the GPU has no more room: compute fewer images at a time (--run-batch), end what else holds its memory, or use --device cpu"
	case e.DeviceLost():
		return "the GPU, or its driver, failed, and the system's log may say why: run again, or use --device cpu"
	}
	return "use --device cpu; if the GPU works for other programs, please report this with the command line"
}

const timeoutHint = "raise --timeout, or use fewer images (--samples) or layers (--layers)"
