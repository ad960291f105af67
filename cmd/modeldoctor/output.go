package main

import (
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
	stdout io.Writer
	style  report.Style
	format string // of stdout; "" prints nothing there
	files  []outputFile
}

type outputFile struct{ format, path string }

// readOutput reads --format and --color, for a result of these formats. The files
// are looked at before the work begins: their folders must be there, and none may
// be one of the command's other files, read or written.
func readOutput(c *cli.Context, formats []string, taken ...string) (*output, error) {
	color, err := oneOf(c, "color", "auto", "always", "never")
	if err != nil {
		return nil, err
	}
	out := &output{stdout: c.App.Writer, style: report.Style{Color: useColor(color, c.App.Writer), Width: terminalWidth(c.App.Writer), Wide: c.Bool("wide")}}
	for _, item := range c.StringSlice("format") {
		format, path, toFile := strings.Cut(strings.TrimSpace(item), "=")
		switch {
		case !slices.Contains(formats, format):
			return nil, usage("--format: %q is none of %s", format, strings.Join(formats, ", "))
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
	return out, nil
}

// checkOutputPath returns why a report cannot or must not be written to path.
func checkOutputPath(path string, taken []string, others []outputFile) error {
	if path == "" {
		return usage("--format: the name of the file is missing").withHint("write it behind the equals sign: --format json=report.json")
	}
	for _, other := range others {
		if sameFile(other.path, path) {
			return usage("--format: %s is named twice", path)
		}
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return usage("--format: %v", err).withHint("the folder of a report must be there")
	}
	if !folder.IsDir() {
		return usage("--format: %s is not a folder", filepath.Dir(path))
	}
	if there, err := os.Stat(path); err == nil && there.IsDir() {
		return usage("--format: %s is a folder, expected the name of a file", path)
	}
	for _, other := range taken {
		if sameFile(other, path) {
			return usage("--format: %s is another file of this command and would be overwritten", path)
		}
	}
	if holdsBinary(path) {
		return usage("--format: %s is there and is no report", path).withHint("choose another file")
	}
	return nil
}

// holdsBinary reports whether a file is there that no report can be: an image, a
// model, an archive.
func holdsBinary(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	start := make([]byte, 512)
	n, _ := f.Read(start)
	return slices.Contains(start[:n], 0)
}

// write prints a result everywhere: into the files first, because a closed pipe
// at stdout ends the program.
func (o *output) write(result report.Result) error {
	for _, f := range o.files {
		if err := writeFile(f.path, func(w io.Writer) error { return report.Write(w, result, f.format, report.Style{Wide: o.style.Wide}) }); err != nil {
			return unwritable(err)
		}
	}
	if o.format == "" {
		return nil
	}
	if err := report.Write(o.stdout, result, o.format, o.style); err != nil {
		return unwritable(err)
	}
	return nil
}

func unwritable(err error) error {
	return &failure{code: exitInternal, msg: fmt.Sprintf("the report cannot be written: %v", err), hint: "make room, or choose another place with --format", err: err}
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
