package report

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// The widths that text is set to, in columns of a terminal.
const (
	lineColumns   = 100 // a report, where Style says nothing else
	fewestColumns = 60
	mostColumns   = 120
	proseColumns  = 88 // at most, an explanation, which is read from beginning to end
)

// Style says how text is set. The zero value is that of a file.
type Style struct {
	Color bool // use ANSI colours
	Width int  // of a line, in columns, taken as at least 60 and at most 120; 0: 100
	Wide  bool // show every column of a table, however long its lines become
}

// width is the number of columns that a line may take.
func (s Style) width() int {
	if s.Width == 0 {
		return lineColumns
	}
	return min(max(s.Width, fewestColumns), mostColumns)
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

// hanging prints text behind a label, broken at spaces into lines, each indented
// by the label's width. label may be painted; width is that of its text.
func (p *printer) hanging(label string, width int, text string) {
	for i, line := range Wrap(text, p.style.width()-width) {
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
	room := p.style.width() - width
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

// grid prints rows of cells below their titles, which are the first row. Columns
// are as wide as their widest cell, and aligned to the right but for those in
// left. mark, if not nil, is what stands behind the row of that number, counted
// without the titles; it may be painted. A table that is too wide is printed in pieces,
// one below the other, each with the first column; see [pieces].
func (p *printer) grid(rows [][]string, left []int, mark func(i int) string, breaks ...int) {
	marks := make([]string, len(rows))
	if mark != nil {
		for i := range rows[1:] {
			marks[1+i] = mark(i)
		}
	}
	all := [][2]int{{1, len(rows[0])}}
	if !p.style.Wide {
		all = pieces(rows, left, marks, p.style.width(), breaks)
	}
	for k, piece := range all {
		if k > 0 {
			p.printf("\n")
		}
		for i, text := range aligned(cut(rows, left, piece)) {
			switch {
			case i == 0:
				text = p.style.paint(ansiDim, strings.TrimRight(text, " "))
			case k == len(all)-1:
				text += marks[i]
			}
			p.printf("%s\n", strings.TrimRight(text, " "))
		}
	}
}

// painting is what paints a text.
var painting = regexp.MustCompile("\x1b\\[[0-9;]*m")

// pieces are the first and the end of the columns that a table has beside its first, in
// as few pieces of that width as there can be; behind the rows of the last one are marks.
// It is torn at one of breaks rather than elsewhere.
func pieces(rows [][]string, left []int, marks []string, width int, breaks []int) (all [][2]int) {
	end := len(rows[0])
	fits := func(from, to int) bool {
		for i, line := range aligned(cut(rows, left, [2]int{from, to})) {
			if to == end {
				line += painting.ReplaceAllString(marks[i], "")
			}
			if columns(strings.TrimRight(line, " ")) > width {
				return false
			}
		}
		return true
	}
	for from := 1; from < end || all == nil; {
		to := end
		for _, at := range breaks {
			if from < at && !fits(from, end) {
				to = at
			}
		}
		for to > from+1 && !fits(from, to) {
			to--
		}
		all = append(all, [2]int{from, to})
		from = to
	}
	return all
}

// cut is a piece of a table behind its first column, and which columns of that are
// aligned to the left.
func cut(rows [][]string, left []int, piece [2]int) (short [][]string, shortLeft []int) {
	for _, row := range rows {
		from, to := min(piece[0], len(row)), min(piece[1], len(row))
		short = append(short, slices.Concat(row[:min(1, len(row))], row[from:to]))
	}
	for _, j := range left {
		switch {
		case j == 0:
			shortLeft = append(shortLeft, 0)
		case piece[0] <= j && j < piece[1]:
			shortLeft = append(shortLeft, j-piece[0]+1)
		}
	}
	return short, shortLeft
}

// columnGap stands between columns.
const columnGap = "  "

// aligned makes a line of each row, its cells padded and followed by two spaces.
// A row may be shorter than the first, and so is its line then.
func aligned(rows [][]string, left []int) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for j, cell := range row {
			widths[j] = max(widths[j], columns(cell))
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		var line strings.Builder
		for j, cell := range row {
			pad := strings.Repeat(" ", widths[j]-columns(cell))
			if slices.Contains(left, j) {
				line.WriteString(cell + pad + columnGap)
			} else {
				line.WriteString(pad + cell + columnGap)
			}
		}
		lines[i] = line.String()
	}
	return lines
}

// tableWidth is that of a table's lines in columns.
func tableWidth(rows [][]string, left []int) int {
	return columns(strings.TrimSuffix(aligned(rows, left)[0], columnGap))
}

// verdict prints the line a log is searched for: a word, painted, and figures.
func (p *printer) verdict(code, word string, fields ...string) {
	p.paintedFields(p.style.paint(code, word)+"  ", len(word)+2, fields...)
}

// hint prints one piece of advice. A command, which stands between backquotes, is
// not broken, so that it can be copied.
func (p *printer) hint(text string) {
	const label, unbroken = "hint: ", "\ue000" // a rune that printable lets nobody else use
	parts := strings.Split(text, "`")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], " ", unbroken)
	}
	for i, line := range Wrap(strings.Join(parts, "`"), p.style.width()-len(label)) {
		line = strings.ReplaceAll(line, unbroken, " ")
		if i == 0 {
			line = label + line
		} else {
			line = strings.Repeat(" ", len(label)) + line
		}
		p.printf("%s\n", p.style.paint(ansiDim, line))
	}
}

// model prints the line about the file, and what is special about it. more, if
// not empty, is said behind the number of parameters.
func (p *printer) model(m Model, more string) {
	p.headline(m, more)
	switch {
	case m.Ending != "":
		p.fields("note   ", m.Ending)
	case m.SoftmaxRemoved:
		p.fields("note   ", softmaxNote)
	}
	if m.Output != "" {
		p.fields("note   ", outputNote(printable(m.Output)))
	}
	if m.FixedBatch > 0 {
		p.fields("note   ", batchNote(m.FixedBatch))
	}
}

// headline prints the line about the file.
func (p *printer) headline(m Model, more string) {
	if more != "" {
		more = ", " + more
	}
	name := base(m.Path)
	label, width := p.style.paint(ansiBold, name)+"   ", columns(name)+3
	if width > p.style.width()/2 {
		p.printf("%s\n", p.style.paint(ansiBold, name))
		label, width = "   ", 3
	}
	p.paintedFields(label, width,
		fmt.Sprintf("%s, %s parameters%s", printable(m.Family), count(m.Parameters), more),
		fmt.Sprintf("%s, opset %d", printable(m.Producer), m.Opset))
}
