package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// table prints the layers. Columns are as wide as their widest cell; the last
// one, of marks, is free.
func (c *Check) table(p *printer) {
	transfers := c.transferCells()
	rows := [][]string{{"layer", "params", "recoverable loss ΔL̂ (95 %)", "in-sample ΔL", "κ", "agreement"}}
	for i, l := range c.Layers {
		row := []string{printable(l.Name), count(l.Parameters)}
		if l.measured() {
			row = append(row, transfers[i], fixed(l.DeltaLoss, c.decimals()), "–", "–")
			if l.Kappa != nil {
				row[4] = significant(*l.Kappa)
			}
			if l.Agreement != nil {
				row[5] = fixed(*l.Agreement, 2)
			}
		}
		rows = append(rows, row)
	}
	p.grid(rows, []int{0, 2}, func(i int) string { return c.marks(p.style, &c.Layers[i]) })
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
// bar; empty where a layer was not measured.
func (c *Check) transferCells() []string {
	cells := make([]string, len(c.Layers))
	widest, largest := 0, 0.0
	for i, l := range c.Layers {
		switch t := l.Transfer; {
		case t != nil:
			cells[i] = t.text(c.decimals())
			largest = max(largest, t.Mean)
		case l.measured():
			cells[i] = "–"
		}
		widest = max(widest, columns(cells[i]))
	}
	for i, l := range c.Layers {
		cells[i] = strings.Repeat(" ", widest-columns(cells[i])) + cells[i]
		if l.Transfer != nil {
			cells[i] += "  " + bar(l.Transfer.Mean, largest)
		}
	}
	return cells
}

// text is the figure with half the width of its interval, if it has one.
func (t *Transfer) text(decimals int) string {
	if t.SE == nil {
		return fixed(t.Mean, decimals)
	}
	return interval(t.Mean, *t.SE, decimals)
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
func (c *Check) marks(style Style, l *Layer) string {
	var marks []string
	told := false
	for _, v := range c.Violations {
		if string(v.Layer) == l.Name {
			marks = append(marks, style.paint(levelCode(v.Level), v.Rule))
			told = told || v.Rule == diag.RuleNotMeasured
		}
	}
	if l.Name == string(c.Worst.ByTransfer) {
		marks = append(marks, style.paint(ansiBold, "◀ worst"))
	}
	note := ""
	if l.Status != diag.StatusOK {
		note = string(l.Status)
	}
	if l.Reason != "" && !told {
		note = strings.TrimPrefix(fmt.Sprintf("%s: %s", note, printable(l.Reason)), ": ")
	}
	if l.Verdict == diag.Undecided {
		marks = append(marks, style.paint(ansiDim, "undecided"))
	}
	if note != "" {
		marks = append([]string{style.paint(ansiDim, note)}, marks...)
	}
	return strings.Join(marks, " ")
}
