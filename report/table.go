package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// table prints the layers. Columns are as wide as their widest cell; the last
// one, of marks, is free.
func (p *printer) table(d *diag.Report) {
	transfers := transferCells(d)
	rows := [][]string{{"layer", "params", "recoverable loss ΔL̂ (95 %)", "in-sample ΔL", "κ", "agreement"}}
	for i, l := range d.Layers {
		row := []string{printable(l.Name), count(l.Parameters)}
		if measured(l) {
			row = append(row, transfers[i], fixed(l.DeltaLoss, decimals(d)), "–", "–")
			if l.Kappa != nil {
				row[4] = significant(*l.Kappa)
			}
			if l.Agreement != nil {
				row[5] = fixed(*l.Agreement, 2)
			}
		}
		rows = append(rows, row)
	}
	p.grid(rows, []int{0, 2}, func(i int) string { return p.marks(d, d.Layers[i]) })
}

// grid prints rows of cells below their titles, which are the first row. Columns
// are as wide as their widest cell, and aligned to the right but for those in
// left. mark, if not nil, is what stands behind the row of that number, counted
// without the titles; it may be painted.
func (p *printer) grid(rows [][]string, left []int, mark func(i int) string) {
	for i, text := range aligned(rows, left) {
		switch {
		case i == 0:
			text = p.style.paint(ansiDim, strings.TrimRight(text, " "))
		case mark != nil:
			text += mark(i - 1)
		}
		p.printf("%s\n", strings.TrimRight(text, " "))
	}
}

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
				line.WriteString(cell + pad + "  ")
			} else {
				line.WriteString(pad + cell + "  ")
			}
		}
		lines[i] = line.String()
	}
	return lines
}

// measured reports whether a layer has figures.
func measured(l diag.LayerResult) bool {
	return l.Status == diag.StatusOK || l.Status == diag.StatusFlat
}

// decimals is the number of decimals with which losses are told apart, from 3 to
// 6: the threshold has two digits or more.
func decimals(d *diag.Report) int {
	if d.Metrics.StartLoss == nil {
		return 3
	}
	return decimalsOf(d.Threshold * *d.Metrics.StartLoss)
}

// decimalsOf is the number of decimals, from 3 to 6, that give a limit two
// digits or more.
func decimalsOf(limit float64) int {
	if !(limit > 0) {
		return 3
	}
	return min(max(3, int(math.Ceil(-math.Log10(limit)))+1), 6)
}

// transferCells are the transfer figures, one below the other, each with its
// bar; empty where a layer was not measured.
func transferCells(d *diag.Report) []string {
	cells := make([]string, len(d.Layers))
	widest, largest := 0, 0.0
	for i, l := range d.Layers {
		switch t := l.Transfer; {
		case t != nil:
			cells[i] = interval(t.Gain.Mean, t.Gain.SE, decimals(d))
			largest = max(largest, t.Gain.Mean)
		case measured(l):
			cells[i] = "–"
		}
		widest = max(widest, columns(cells[i]))
	}
	for i, l := range d.Layers {
		cells[i] = strings.Repeat(" ", widest-columns(cells[i])) + cells[i]
		if l.Transfer != nil {
			cells[i] += "  " + bar(l.Transfer.Gain.Mean, largest)
		}
	}
	return cells
}

// interval writes a figure with its 95 % interval.
func interval(x, standardError float64, decimals int) string {
	return fixed(x, decimals) + " ± " + fixed(1.96*standardError, decimals)
}

// barWidth is the width of the bar of the largest transfer figure, in columns.
const barWidth = 16

// bar draws a share of the largest value in eighths of a column, right of a
// line that stands for zero. A loss that would rise is a stroke to the left.
func bar(x, largest float64) string {
	if x < 0 {
		return "┤"
	}
	if largest <= 0 {
		return "│"
	}
	eighths := int(math.Round(8 * barWidth * x / largest))
	if eighths == 0 {
		return "│"
	}
	text := "├" + strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}

// marks say what is special about a layer: the rules that it breaches, whether
// it is the worst, and why figures are missing unless a violation says so.
func (p *printer) marks(d *diag.Report, l diag.LayerResult) string {
	var marks []string
	told := false
	for _, v := range d.Violations {
		if v.Layer == l.Name {
			marks = append(marks, p.style.paint(levelCode(v.Level), v.Rule))
			told = told || v.Rule == diag.RuleNotMeasured
		}
	}
	if l.Name == d.Worst.ByTransfer {
		marks = append(marks, p.style.paint(ansiBold, "◀ worst"))
	}
	note := ""
	if l.Status != diag.StatusOK {
		note = string(l.Status)
	}
	if l.Reason != "" && !told {
		note = strings.TrimPrefix(fmt.Sprintf("%s: %s", note, printable(l.Reason)), ": ")
	}
	if note != "" {
		marks = append([]string{p.style.paint(ansiDim, note)}, marks...)
	}
	return strings.Join(marks, " ")
}
