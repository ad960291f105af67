package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/modeldoctor/modeldoctor/diag"

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
// as fit. One that is longer than a line is broken at spaces.
func (p *printer) fields(label string, fields ...string) {
	p.paintedFields(label, columns(label), fields...)
}

// paintedFields is fields behind a label that may be painted; width is that of
// its text.
func (p *printer) paintedFields(label string, width int, fields ...string) {
	const gap = "   "
	room := lineColumns - width
	line, open := "", false
	flush := func(text string) {
		p.printf("%s%s\n", label, text)
		label = strings.Repeat(" ", width)
	}
	for _, f := range fields {
		switch {
		case !open:
			line = f
		case columns(line)+columns(gap)+columns(f) > room:
			flush(line)
			line = f
		default:
			line += gap + f
		}
		open = true
		if columns(line) > room { // f alone
			broken := Wrap(line, room)
			for _, l := range broken[:len(broken)-1] {
				flush(l)
			}
			line = broken[len(broken)-1]
		}
	}
	flush(line)
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
