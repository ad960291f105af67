package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/internal/atomicfile"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// output is where a command's report goes.
type output struct {
	stdout   io.Writer
	style    report.Style
	format   string // of stdout; "" prints nothing there
	files    []outputFile
	workflow bool   // GitHub's workflow commands go to stdout, too
	summary  string // file that a job's summary is appended to; "" writes none
	plots    string // folder of the charts; "" writes none
	written  bool   // a result has been written, or could not be
}

type outputFile struct{ format, path string }

// The format whose lines GitHub's runner reads between others, and the variable that
// names the file of a job's summary there.
const (
	workflowFormat  = "github"
	summaryVariable = "GITHUB_STEP_SUMMARY"
)

// readOutput reads --format and --color, for a result of these formats. The files
// are tried before the work begins, and none may be one of the command's other files,
// read or written.
func readOutput(c *cli.Context, formats []string, taken ...string) (*output, error) {
	color, err := oneOf(c, "color")
	if err != nil {
		return nil, err
	}
	if config, err := findConfig(c.String("config")); err == nil {
		taken = slices.Concat(taken, []string{config})
	}
	out := &output{stdout: c.App.Writer, style: report.Style{Color: useColor(color, c.App.Writer), Width: terminalWidth(c.App.Writer), Wide: c.Bool("wide")}}
	c.App.Metadata[outputKey] = out
	for _, item := range c.StringSlice("format") {
		format, path, toFile := strings.Cut(strings.TrimSpace(item), "=")
		if format == "md" {
			format = "markdown"
		}
		switch {
		case !slices.Contains(formats, format):
			return nil, usage("--format: %q is none of %s", format, strings.Join(formats, ", "))
		case format == workflowFormat && toFile:
			return nil, usage("--format: github goes to stdout, where GitHub reads it").withHint("leave =%s out", path)
		case format == workflowFormat:
			out.workflow = true
		case toFile:
			if err := checkOutputPath(path, taken, out.files); err != nil {
				return nil, err
			}
			out.files = append(out.files, outputFile{format, path})
		case out.format != "":
			return nil, usage("--format: only one format can go to stdout").withHint("write the others to files: --format text,json=report.json")
		default:
			out.format = format
		}
	}
	if out.plots, err = readPlots(c); err != nil || !out.workflow {
		return out, err
	}
	if out.format != "" && out.format != "text" {
		return nil, usage("--format: github goes to stdout, and so does %s, which its lines would break", out.format).withHint("write %s to a file: --format github,%[1]s=FILE", out.format)
	}
	if out.summary = os.Getenv(summaryVariable); out.summary != "" {
		if slices.ContainsFunc(out.files, func(f outputFile) bool { return sameFile(f.path, out.summary) }) {
			return nil, usage("--format: %s is the job's summary, which github appends to by itself", out.summary)
		}
		if err := appendFile(out.summary, nil); err != nil {
			return nil, usage("%s: nothing can be written: %v", summaryVariable, err).withHint("the runner sets it; unset it where this is not GitHub")
		}
	}
	return out, nil
}

// checkOutputPath returns why a report cannot or must not be written to path.
func checkOutputPath(path string, taken []string, others []outputFile) error {
	if path == "" {
		return usage("--format: the name of the file is missing").withHint("write it behind the equals sign: --format json=report.json")
	}
	if path == "-" {
		return usage("--format: - is not the name of a file").withHint("without a file a format goes to stdout: --format json; ./- is a file of that name")
	}
	for _, other := range others {
		if sameFile(other.path, path) {
			return usage("--format: %s is named twice", path)
		}
	}
	there, err := os.Stat(path)
	if err == nil && there.IsDir() {
		return usage("--format: %s is a folder, expected the name of a file", path)
	}
	for _, other := range taken {
		if sameFile(other, path) {
			return usage("--format: %s is another file of this command and would be overwritten", path)
		}
	}
	if name := filepath.Base(path); err == nil && (name == "preprocessor_config.json" || name == "config.json") {
		return usage("--format: %s is there, and such a file says how a model's images are prepared", path).withHint("choose another name")
	}
	if err == nil && !there.Mode().IsRegular() {
		return nil // a pipe, say: opening it to read waits for a writer
	}
	if holdsBinary(path) {
		return usage("--format: %s is there and is no report", path).withHint("choose another file")
	}
	return checkWritable("--format", path)
}

// holdsBinary reports whether a regular file is there that no report can be: an image,
// a model, an archive.
func holdsBinary(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	start := make([]byte, 512)
	n, _ := f.Read(start)
	return slices.Contains(start[:n], 0)
}

// write prints a result everywhere: into the files first, because a closed pipe
// at stdout ends the program. Where one cannot be written the others are all the same.
func (o *output) write(result report.Result) error {
	o.written = true
	var problems error
	add := func(name string, err error) {
		switch {
		case err == nil:
		case problems == nil:
			problems = fmt.Errorf("%s: %w", name, err)
		default:
			problems = fmt.Errorf("%w; %s: %w", problems, name, err)
		}
	}
	for _, f := range o.files {
		add(f.path, writeFile(f.path, func(w io.Writer) error { return report.Write(w, result, f.format, report.Style{Wide: o.style.Wide}) }))
	}
	if o.plots != "" {
		add(o.plots, writePlots(o.plots, result))
	}
	if o.summary != "" {
		add(o.summary, writeSummary(o.summary, result))
	}
	add("stdout", o.print(result))
	return unwritable(problems)
}

// print writes what goes to stdout. GitHub's runner would take a line of the text that
// begins with a hostile name for a command, unless it is told not to look until it
// meets a word that nobody can have foreseen.
func (o *output) print(result report.Result) error {
	text := func() error {
		if o.format == "" {
			return nil
		}
		return report.Write(o.stdout, result, o.format, o.style)
	}
	if !o.workflow {
		return text()
	}
	if err := report.Write(o.stdout, result, workflowFormat, o.style); err != nil || o.format == "" {
		return err
	}
	token := rand.Text()
	_, err1 := fmt.Fprintf(o.stdout, "::stop-commands::%s\n", token)
	err2 := text()
	_, err3 := fmt.Fprintf(o.stdout, "::%s::\n", token)
	return cmp.Or(err1, err2, err3)
}

// unwritable is the error of reports of which some cannot be written, for err; nil if that is.
func unwritable(err error) error {
	if err == nil {
		return nil
	}
	why := strings.ReplaceAll(err.Error(), "\n", "; ") // of several files
	return &failure{code: exitInternal, msg: "the report cannot be written: " + why, hint: "make room, or choose another place with --format", err: err}
}

// writeSummary appends the summary of a result to the file of a job's summaries, of
// which GitHub takes so many bytes in all.
func writeSummary(path string, result report.Result) error {
	taken := int64(0)
	if info, err := os.Stat(path); err == nil {
		taken = info.Size()
	}
	var text bytes.Buffer
	if err := report.WriteSummary(&text, result, int(max(report.SummaryLimit-taken, 0))); err != nil {
		return err
	}
	return appendFile(path, text.Bytes())
}

// appendFile appends to a file, which appears if it is not there.
func appendFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// writeFile writes a file that appears whole or not at all. What is not a regular
// file, such as a pipe, is written to directly.
func writeFile(path string, fill func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(fill(f), f.Close())
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Discard() // nothing once it is committed
	if err := fill(f); err != nil {
		return err
	}
	return f.Commit()
}

// useColor decides on colour: --color, else CLICOLOR_FORCE, else NO_COLOR, else
// whether the writer is a terminal.
func useColor(when string, w io.Writer) bool {
	if when != "auto" {
		return when == "always"
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	return isTerminal(w)
}

// terminalWidth is the number of columns of lines: COLUMNS, else those of the
// terminal; 0 if neither is known.
func terminalWidth(w io.Writer) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// isTerminal reports whether what is written is shown to a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
