package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"modeldoctor/report"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// destination is one format of the report and where it goes; path "" is stdout.
type destination struct{ format, path string }

// destinations reads --format.
func destinations(c *cli.Context) ([]destination, error) {
	var list []destination
	stdout := 0
	for _, item := range c.StringSlice("format") {
		format, path, toFile := strings.Cut(item, "=")
		if format != "text" && format != "json" {
			return nil, usage("--format: %q is neither text nor json", format)
		}
		if toFile && path == "" {
			return nil, usage("--format: %q names no file", item)
		}
		if !toFile {
			stdout++
		}
		list = append(list, destination{format, path})
	}
	if stdout > 1 {
		return nil, usage("--format: only one format can go to stdout").withHint("write the others to files: --format text,json=report.json")
	}
	return list, nil
}

// printers are the ways to print one result.
type printers struct {
	text func(w io.Writer, style report.Style) error
	json func(w io.Writer) error
}

// write prints a result to every destination. A file is written under a
// temporary name and renamed, so that nothing half-written is left.
func (p printers) write(c *cli.Context, list []destination) error {
	for _, d := range list {
		if d.path == "" {
			if err := p.print(c.App.Writer, d.format, style(c)); err != nil {
				return &unreadable{err, "the report could not be written to stdout"}
			}
			continue
		}
		if err := writeFile(d.path, func(w io.Writer) error { return p.print(w, d.format, report.Style{}) }); err != nil {
			return &unreadable{err, "choose a place that can be written"}
		}
	}
	return nil
}

func (p printers) print(w io.Writer, format string, style report.Style) error {
	if format == "json" {
		return p.json(w)
	}
	return p.text(w, style)
}

func writeFile(path string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := fill(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// style decides on colour: --color, else CLICOLOR_FORCE, NO_COLOR, else whether
// stdout is a terminal.
func style(c *cli.Context) report.Style {
	switch c.String("color") {
	case "always":
		return report.Style{Color: true}
	case "never":
		return report.Style{}
	}
	if os.Getenv("CLICOLOR_FORCE") != "" && os.Getenv("CLICOLOR_FORCE") != "0" {
		return report.Style{Color: true}
	}
	if os.Getenv("NO_COLOR") != "" {
		return report.Style{}
	}
	f, ok := c.App.Writer.(*os.File)
	return report.Style{Color: ok && term.IsTerminal(int(f.Fd()))}
}
