package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// layerTable prints the layers of a check.
type layerTable struct{ *Check }

// column is one of its columns.
type column struct {
	title string
	left  bool // aligned to the left
	last  int  // columns with the lowest give way first where a line is too short; 0: never
	cells []string
	// number is what a layer's cell is sorted by; nil where it has none.
	number func(l *Layer) *float64
}

// detail is how much a table shows.
type detail int

const (
	brief detail = iota // what a verdict rests on
	full                // and the figures that explain it
	all                 // whatever there is
)

const (
	widestBar    = 20 // columns of the drawn intervals
	shortestBar  = 8  // the same where space is short; less is not worth it
	shortestName = 12 // columns that a layer's name has, however short space is
)

// text prints the table: as many columns as fit, or all of them where the style
// is wide. The last, of verdicts and marks, is free.
func (t layerTable) text(p *printer) {
	marks := make([]string, len(t.Layers))
	widest := columns("verdict")
	for i := range t.Layers {
		marks[i] = t.marks(p.style, &t.Layers[i])
		widest = max(widest, columns(t.marks(Style{}, &t.Layers[i])))
	}
	list := t.fitting(p.style, widest)
	rows := t.rows(list)
	var left []int
	for j, c := range list {
		if c.left {
			left = append(left, j)
		}
	}
	p.grid(rows, append(left, len(list)), func(i int) string { return marks[i] })
	for _, note := range t.notes() {
		p.fields("note   ", note)
	}
}

// rows are the cells of these columns below their titles. Of a layer without
// figures there are no more than the first two.
func (t layerTable) rows(list []column) [][]string {
	rows := make([][]string, len(t.Layers)+1)
	for j, c := range list {
		rows[0] = append(rows[0], c.title)
		for i := range t.Layers {
			if t.Layers[i].measured() || j < 2 {
				rows[i+1] = append(rows[i+1], c.cells[i])
			}
		}
	}
	rows[0] = append(rows[0], "verdict")
	return rows
}

// fitting is the columns that fit beside marks of that width.
func (t layerTable) fitting(style Style, marks int) []column {
	if style.Wide {
		return t.columns(widestBar, all)
	}
	var list []column
	excess := func() int { return lineWidth(list) + marks - style.width() }
	fits := func(bars, dropped int) bool {
		list = slices.DeleteFunc(t.columns(bars, brief), func(c column) bool { return 0 < c.last && c.last <= dropped })
		return excess() <= 0
	}
	for dropped := range 3 {
		for bars := widestBar; bars >= shortestBar; bars-- {
			if fits(bars, dropped) {
				return list
			}
		}
	}
	for dropped := range 3 {
		if fits(0, dropped) {
			return list
		}
	}
	if more := excess(); more > 0 {
		list[0].shorten(max(shortestName, list[0].width()-more))
	}
	return list
}

// lineWidth is the width of a line of these columns, with a gap behind each.
func lineWidth(list []column) int {
	width := 0
	for _, c := range list {
		width += c.width() + 2
	}
	return width
}

// width is that of the widest cell or the title.
func (c *column) width() int {
	widest := columns(c.title)
	for _, cell := range c.cells {
		widest = max(widest, columns(cell))
	}
	return widest
}

// shorten leaves of each cell the end, which tells layers apart.
func (c *column) shorten(width int) {
	for i, cell := range c.cells {
		c.cells[i] = tail(cell, width)
	}
}

// columns are those of the table, with as much detail. The intervals are drawn in so
// many columns of the terminal, not at all if that is 0.
func (t layerTable) columns(bars int, which detail) []column {
	wide := which == all
	gain := column{title: "ΔL̂ (95 %)", left: bars > 0, cells: t.transferCells(bars), number: ofTransfer(func(t *Transfer) *float64 { return metric.Finite(t.Mean) })}
	if bars > 0 {
		gain.title += ", limit ┆"
	}
	if title := "recoverable loss " + gain.title; columns(title) <= gain.width() {
		gain.title = title
	}
	depth := func(l *Layer) *float64 { return metric.Finite(float64(l.Index)) }
	list := []column{
		t.column("layer", 0, depth, func(l *Layer) string { return printable(l.Name) }),
		t.column("params", 1, func(l *Layer) *float64 { return metric.Finite(float64(l.Parameters)) }, func(l *Layer) string { return count(l.Parameters) }),
		gain,
	}
	list[0].left = true
	rounded := func(decimals int) func(float64) string {
		return func(x float64) string { return fixed(x, decimals) }
	}
	if wide {
		list = append(list,
			t.figure("at least, all layers", ofTransfer(func(t *Transfer) *float64 { return t.CorrectedLow }), rounded(t.decimals())),
			t.figure("ΔL̂ per 1,000 params", ofTransfer(func(t *Transfer) *float64 { return t.PerThousand }), rounded(2+t.decimals())))
	}
	if which >= full {
		list = append(list, t.column("in-sample ΔL", 0, func(l *Layer) *float64 { return metric.Finite(l.DeltaLoss) }, func(l *Layer) string { return fixed(l.DeltaLoss, t.decimals()) }))
	}
	if which >= full && hasRaw(t.Check) {
		list = append(list, t.column("raw ΔL̂", 0, func(l *Layer) *float64 {
			if l.Raw == nil {
				return nil
			}
			return metric.Finite(l.Raw.Mean)
		}, func(l *Layer) string {
			if l.Raw == nil {
				return "–"
			}
			return fixed(l.Raw.Mean, t.decimals()) + plusMinus(l.Raw.SE, t.decimals())
		}))
	}
	if t.Data.TrainN > 0 {
		change := ofTraining(func(t *Train) *float64 { return metric.Finite(t.LossAfter - t.LossBefore) })
		list = append(list, t.column("training loss", 2, change, func(l *Layer) string {
			if l.Train == nil {
				return "–"
			}
			return signed(l.Train.LossAfter-l.Train.LossBefore, t.decimals()) + plusMinus(&l.Train.SE, t.decimals())
		}))
	}
	if t.Data.TrainN > 0 && wide {
		slope := ofTraining(func(t *Train) *float64 { return &t.Slope })
		list = append(list, t.figure("training slope", slope, func(x float64) string { return signed(x, t.decimals()) }))
	}
	if which >= full {
		list = append(list, t.figure("κ", func(l *Layer) *float64 { return l.Kappa }, significant))
	}
	if wide {
		list = append(list,
			t.figure("κ·‖w‖²", func(l *Layer) *float64 { return l.KappaScaled }, significant),
			t.figure("‖Δw‖/‖w‖", func(l *Layer) *float64 { return l.StepShare }, significant))
	}
	if which >= full {
		list = append(list, t.figure("agreement", func(l *Layer) *float64 { return l.Agreement }, rounded(2)))
	}
	if wide {
		images := func(l *Layer) *float64 {
			if l.Images == nil {
				return nil
			}
			return metric.Finite(float64(*l.Images))
		}
		list = append(list, t.figure("images needed", images, func(x float64) string { return thousands(int(x)) }))
	}
	return list
}

// column is one whose cells are computed from a layer each.
func (t layerTable) column(title string, last int, number func(l *Layer) *float64, cell func(l *Layer) string) column {
	c := column{title: title, last: last, cells: make([]string, len(t.Layers)), number: number}
	for i := range t.Layers {
		c.cells[i] = cell(&t.Layers[i])
	}
	return c
}

// figure is a column of numbers that may be absent.
func (t layerTable) figure(title string, number func(l *Layer) *float64, write func(float64) string) column {
	return t.column(title, 0, number, func(l *Layer) string { return optional(number(l), write) })
}

// ofTransfer is a number of a layer's transfer figure, which may be absent.
func ofTransfer(number func(t *Transfer) *float64) func(l *Layer) *float64 {
	return func(l *Layer) *float64 {
		if l.Transfer == nil {
			return nil
		}
		return number(l.Transfer)
	}
}

// ofTraining is the same of what a move does to training images.
func ofTraining(number func(t *Train) *float64) func(l *Layer) *float64 {
	return func(l *Layer) *float64 {
		if l.Train == nil {
			return nil
		}
		return number(l.Train)
	}
}

// optional writes a number that may be absent.
func optional(x *float64, write func(float64) string) string {
	if x == nil {
		return "–"
	}
	return write(*x)
}

// tail is the end of a text that takes more than width columns.
func tail(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	runes := []rune(text)
	for columns(string(runes)) > width-1 {
		runes = runes[1:]
	}
	return "…" + string(runes)
}

// measured reports whether a layer has figures.
func (l *Layer) measured() bool {
	return l.Status == diag.StatusOK || l.Status == diag.StatusFlat
}

// decimals is the number of decimals with which losses are told apart, from 3 to
// 6: the threshold has two digits or more.
func (c *Check) decimals() int {
	if c.Limit == nil {
		return 3
	}
	return decimalsOf(*c.Limit)
}

// transferCells are the transfer figures, one below the other, each with its
// interval drawn in so many columns, none if that is 0; empty where a layer was not measured.
func (t layerTable) transferCells(bars int) []string {
	cells := make([]string, len(t.Layers))
	widest, scale := 0, t.scaleOf(bars)
	for i, l := range t.Layers {
		switch gain := l.Transfer; {
		case gain != nil:
			cells[i] = fixed(gain.Mean, t.decimals()) + plusMinus(gain.SE, t.decimals())
		case l.measured():
			cells[i] = "–"
		}
		widest = max(widest, columns(cells[i]))
	}
	for i, l := range t.Layers {
		cells[i] = strings.Repeat(" ", widest-columns(cells[i])) + cells[i]
		if l.Transfer != nil && bars > 0 {
			low, high := l.Transfer.bounds()
			cells[i] += "  " + scale.draw(low, l.Transfer.Mean, high)
		}
	}
	return cells
}

// plusMinus is half the width of a 95 % interval, or as many columns where there
// is none.
func plusMinus(standardError *float64, decimals int) string {
	if standardError == nil {
		return " ± " + fmt.Sprintf("%-*s", decimals+2, "–")
	}
	return strings.TrimPrefix(interval(0, *standardError, decimals), fixed(0, decimals))
}

// scale is the range of losses that the drawn intervals of a table have in common.
type scale struct {
	low, high float64
	limit     *float64 // nil where losses are compared with none
	width     int      // columns
}

// scaleOf spans zero, the limit and the intervals of all layers.
func (t layerTable) scaleOf(width int) scale {
	s := scale{width: width, limit: t.Limit}
	if t.Limit != nil {
		s.high = *t.Limit
	}
	for i := range t.Layers {
		if gain := t.Layers[i].Transfer; gain != nil {
			low, high := gain.bounds()
			s.low, s.high = min(s.low, low), max(s.high, high)
		}
	}
	return s
}

// bounds are the ends of the 95 % interval; the mean, twice, where there is none.
func (e *Transfer) bounds() (low, high float64) {
	if e.CI95 == nil {
		return e.Mean, e.Mean
	}
	return e.CI95[0], e.CI95[1]
}

// column is where a loss lies, from 0.
func (s scale) column(x float64) int {
	if !(s.high > s.low) {
		return 0
	}
	return int(math.Round((x - s.low) / (s.high - s.low) * float64(s.width-1)))
}

// draw shows an interval, its mean (●) and the limit (┆, or ┼ within the interval).
func (s scale) draw(low, mean, high float64) string {
	line := []rune(strings.Repeat(" ", s.width))
	from, to := s.column(low), s.column(high)
	for i := from; i <= to; i++ {
		line[i] = '─'
	}
	line[from], line[to] = '├', '┤'
	if s.limit != nil {
		switch limit := s.column(*s.limit); {
		case limit < from || limit > to:
			line[limit] = '┆'
		case from < limit && limit < to:
			line[limit] = '┼'
		}
	}
	line[s.column(mean)] = '●'
	return strings.TrimRight(string(line), " ")
}

// marks say on which side of the threshold a layer is, why its loss can be
// recovered, which rules it breaches, and whether it is among the worst.
func (t layerTable) marks(style Style, l *Layer) string {
	var marks []string
	if l.Status != diag.StatusOK {
		marks = append(marks, style.paint(ansiDim, string(l.Status)))
	}
	if l.Verdict != "" {
		code := ""
		switch l.Verdict {
		case diag.Over:
			code = ansiRed
		case diag.Undecided:
			code = ansiYellow
		}
		marks = append(marks, style.paint(code, string(l.Verdict)))
	}
	if l.Train != nil && l.Train.Finding != "" {
		marks = append(marks, string(l.Train.Finding))
	}
	for _, v := range t.Violations {
		finding := v.Rule == diag.RuleOverFitted || v.Rule == diag.RuleUnderTrained
		if string(v.Layer) == l.Name && !finding {
			marks = append(marks, style.paint(levelCode(v.Level), v.Rule))
		}
	}
	switch {
	case l.Name == string(t.Worst.ByTransfer) && len(t.Worst.Set) < 2:
		marks = append(marks, style.paint(ansiBold, "◀ worst"))
	case slices.Contains(t.Worst.Set, l.Name):
		marks = append(marks, style.paint(ansiBold, "◀"))
	}
	return strings.Join(marks, " ")
}

// notes say which layers may be the worst, and why some have figures missing,
// unless a violation does.
func (t layerTable) notes() []string {
	var notes []string
	const paired = " cannot be said (paired differences, 95 %): "
	switch set := t.Worst.Set; {
	case len(set) > 1 && t.Worst.ByTransfer != "":
		notes = append(notes, "◀ which of these is the worst"+paired+printable(listed(set)))
	case len(set) > 1:
		notes = append(notes, "◀ no ΔL̂ is above 0; which of these is the largest"+paired+printable(listed(set)))
	case len(set) == 1 && t.Worst.ByTransfer == "":
		notes = append(notes, "◀ the largest ΔL̂; none is above 0")
	}
	if len(t.Worst.Set) > 0 && skippedFor(t.Check, diag.ReasonNotSearched) > 0 {
		notes = append(notes, "◀ among the layers that were searched")
	}
	var reasons []string
	layers := map[string][]string{}
	for _, l := range t.Layers {
		reason := l.Reason
		if l.Transfer != nil && l.Transfer.Reason != "" {
			reason = "no interval, " + l.Transfer.Reason
		}
		told := slices.ContainsFunc(t.Violations, func(v Violation) bool {
			return v.Rule == diag.RuleNotMeasured && string(v.Layer) == l.Name
		})
		if reason == "" || told {
			continue
		}
		if layers[reason] == nil {
			reasons = append(reasons, reason)
		}
		layers[reason] = append(layers[reason], l.Name)
	}
	for _, reason := range reasons {
		notes = append(notes, printable(fmt.Sprintf("%s: %s", listed(layers[reason]), reason)))
	}
	return notes
}
