package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"modeldoctor/diag"

	"github.com/rivo/uniseg"
)

// The widths that text is set to, in columns of a terminal.
const (
	lineColumns  = 100 // a report
	proseColumns = 88  // an explanation, which is read from beginning to end
)

// Style says how text is set.
type Style struct {
	Color bool // use ANSI colours
}

const (
	ansiRed    = "\x1b[31m"
	ansiYellow = "\x1b[33m"
	ansiGreen  = "\x1b[32m"
	ansiBold   = "\x1b[1m"
	ansiDim    = "\x1b[2m"
	ansiReset  = "\x1b[0m"
)

func (s Style) paint(code, text string) string {
	if !s.Color || code == "" || text == "" {
		return text
	}
	return code + text + ansiReset
}

// levelCode is the colour of a level.
func levelCode(l diag.Level) string {
	switch l {
	case diag.LevelError:
		return ansiRed
	case diag.LevelWarning:
		return ansiYellow
	}
	return ansiDim
}

// printer keeps the first error of a series of writes.
type printer struct {
	w     io.Writer
	style Style
	err   error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// hanging prints text behind a label, broken at spaces into lines of
// lineColumns, each indented by the label's width. label may be painted; width
// is that of its text.
func (p *printer) hanging(label string, width int, text string) {
	for i, line := range Wrap(text, lineColumns-width) {
		if i > 0 {
			label = strings.Repeat(" ", width)
		}
		p.printf("%s%s\n", label, line)
	}
}

// fields prints figures behind a label, three spaces apart, as many on a line
// as fit.
func (p *printer) fields(label string, fields ...string) {
	const gap = "   "
	indent := strings.Repeat(" ", columns(label))
	line := label
	for i, f := range fields {
		switch {
		case i == 0:
			line += f
		case columns(line)+columns(gap)+columns(f) > lineColumns:
			p.printf("%s\n", line)
			line = indent + f
		default:
			line += gap + f
		}
	}
	p.printf("%s\n", line)
}

// Wrap breaks prose into lines of at most width columns, at spaces. A word that
// is longer has a line of its own.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// columns is the number of terminal columns that a string takes. Combining
// accents take none, wide characters two.
func columns(s string) int { return uniseg.StringWidth(s) }

// printable replaces what would move the cursor or change the terminal's state:
// names come from files, and files from anywhere.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// base is the last element of a path, on any system.
func base(path string) string {
	return printable(path[strings.LastIndexAny(path, `/\`)+1:])
}
