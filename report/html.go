package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/modeldoctor/modeldoctor/report/chart"
)

func init() {
	register(format{
		name: "html",
		has:  func(r Result) bool { return pageOf(r) != nil },
		write: func(w io.Writer, r Result, _ Style) error {
			p := pageOf(r)()
			for _, c := range p.Charts {
				svg, err := c.Inline()
				if err != nil {
					return err
				}
				// Its text has been escaped where it was drawn.
				p.Plots = append(p.Plots, plot{c.Title, c.Alt, c.Small, template.HTML(svg)})
			}
			return pageTemplate.Execute(w, p)
		},
	})
}

// pageOf makes the page of a result: one file that needs no other and loads nothing.
// It is nil where a result has none.
func pageOf(r Result) func() *page {
	switch r := r.(type) {
	case *Failure:
		return r.page
	case *Check:
		return func() *page { return checkPage(r) }
	case *Checks:
		return func() *page { return checksPage(r) }
	case *Fix:
		return func() *page { return fixPage(r) }
	case *FixPlan:
		return func() *page { return planPage(r) }
	case *Compare:
		return func() *page { return comparePage(r) }
	case *Verify:
		return func() *page { return verifyPage(r) }
	}
	return nil
}

// Charts are those of a result's page, and of each model where it is about several;
// nil where it has none.
func Charts(r Result) []*chart.Chart {
	if several, ok := r.(*Checks); ok {
		return several.charts()
	}
	if page := pageOf(r); page != nil {
		return page().Charts
	}
	return nil
}

// page is what a page shows, from top to bottom. All text is escaped when it is
// written.
type page struct {
	Title   string
	Verdict string
	Tone    string // of the verdict
	Basis   []string
	Facts   []fact
	Tables  []pageTable
	Notes   []string
	Rules   []pageRule
	Text    string // set as it is
	Charts  []*chart.Chart
	Plots   []plot // the charts, drawn
	Origin  []fact
}

type fact struct {
	Label  string
	Values []string
}

// pageTable is a table that can be sorted by each of its columns.
type pageTable struct {
	Caption string
	Class   string // of the style sheet; may be empty
	Head    []string
	Rows    [][]pageCell
}

// pageCell is text, and what it is sorted by where that is another.
type pageCell struct {
	Text string
	Sort *float64
	Tone string
}

// pageRule is a rule that is breached.
type pageRule struct{ ID, Level, Title, Text string }

// plot is a chart with what it shows.
type plot struct {
	Title, Text string
	Small       bool
	SVG         template.HTML
}

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// origin is where a result comes from.
func (p *Provenance) origin() []fact {
	return []fact{
		{"version", []string{printable(p.Version)}},
		{"command", []string{printable(commandLine(p.Command))}},
		{"ran on", []string{printable(p.Device), plural(p.Threads, "thread"), duration(p.Seconds), "peak memory " + size(p.PeakBytes)}},
	}
}

// textCells are a row of cells that are sorted as text.
func textCells(row []string) []pageCell {
	cells := make([]pageCell, len(row))
	for i, text := range row {
		cells[i] = pageCell{Text: text}
	}
	return cells
}

// The tones, which are classes of the page's style sheet.
const (
	toneGood = "good"
	toneBad  = "bad"
	toneOpen = "open"
)

// toneOf is the tone of a verdict that text paints in a colour.
func toneOf(code string) string {
	switch code {
	case ansiGreen, ansiBold:
		return toneGood
	case ansiRed:
		return toneBad
	}
	return toneOpen
}

// modelFact is the line about the file.
func modelFact(m Model, more ...string) fact {
	values := []string{fmt.Sprintf("%s, %s parameters", printable(m.Family), count(m.Parameters)), fmt.Sprintf("%s, opset %d", printable(m.Producer), m.Opset)}
	for _, note := range append(more, m.Ending) {
		if note != "" {
			values = append(values, printable(note))
		}
	}
	if m.SHA256 != "" {
		values = append(values, "sha256 "+shortHash(m.SHA256))
	}
	return fact{"model", values}
}
