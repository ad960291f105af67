package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"modeldoctor/diag"
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
	if !s.Color || text == "" {
		return text
	}
	return code + text + ansiReset
}

func (s Style) level(l diag.Level) string {
	switch l {
	case diag.LevelError:
		return ansiRed
	case diag.LevelWarning:
		return ansiYellow
	}
	return ansiDim
}

// CheckText writes a diagnosis for a person: what was read, the model's
// figures, a table of the layers, the violations and one line of verdict.
func CheckText(w io.Writer, c *Check, style Style) error {
	p := &printer{w: w}
	p.header(c, style)
	p.layers(c, style)
	p.violations(c, style)
	p.verdict(c, style)
	return p.err
}

// printer keeps the first error of a series of writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) header(c *Check, style Style) {
	d := c.Diagnosis
	analysed := 100 * d.Coverage
	if c.Model.Parameters > 0 {
		analysed *= float64(c.Model.Analysed) / float64(c.Model.Parameters)
	}
	p.printf("%s   %s, %s parameters, %.3g %% analysed   %s, opset %d\n",
		style.paint(ansiBold, base(c.Model.Path)), c.Model.Family, Count(c.Model.Parameters), analysed, c.Model.Producer, c.Model.Opset)
	p.printf("data   %s, %s, %s images   preprocessing: %s\n",
		c.Data.Name, c.Data.Val, thousands(c.Data.ValN), preprocessing(c.Data.Preprocess))
	if c.Model.SoftmaxRemoved {
		p.printf("note   the graph ends in a Softmax; losses are measured on what enters it\n")
	}
	if c.Model.FixedBatch > 0 {
		p.printf("note   the file is bound to batches of %d\n", c.Model.FixedBatch)
	}
	p.printf("loss   %s", nats(d.Metrics.Loss))
	if d.Metrics.Error != nil {
		p.printf("   error %.1f %%", 100**d.Metrics.Error)
	}
	if d.Metrics.ECE != nil {
		p.printf("   calibration error %.3f", *d.Metrics.ECE)
	}
	if t := d.Metrics.Temperature; t != nil {
		if t.DeltaLoss > 0 {
			p.printf("   a temperature of %.2f alone takes off %.3f ± %.3f", t.Value, t.DeltaLoss, 1.96*t.SE)
		} else {
			p.printf("   no temperature lowers it (best %.2f)", t.Value)
		}
	}
	p.printf("\n")
	if d.CalibrationT != nil {
		p.printf("calibrated   all that follows is of logits divided by %.3f: loss %s\n", *d.CalibrationT, nats(d.Metrics.StartLoss))
	}
	if d.Direction != diag.Line {
		p.printf("direction   %s\n", d.Direction)
	}
}

// preprocessing names the preprocessing and where it comes from; a file has one
// name for both.
func preprocessing(p Preprocess) string {
	if base(p.Source) == p.Name {
		return p.Source
	}
	return fmt.Sprintf("%s (%s)", p.Name, p.Source)
}

// barWidth is the width of the bar of the largest transfer figure, in columns.
const barWidth = 16

// layers prints the table. Columns are as wide as their widest cell.
func (p *printer) layers(c *Check, style Style) {
	d := c.Diagnosis
	rows := [][]string{{"layer", "params", "recoverable loss ΔL̂ (95 %)", "", "in-sample ΔL", "κ", "agreement", ""}}
	largest := 0.0
	for _, l := range d.Layers {
		if l.Transfer != nil {
			largest = max(largest, l.Transfer.DeltaLoss)
		}
	}
	for _, l := range d.Layers {
		rows = append(rows, layerRow(l, d, largest, style))
	}
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	p.printf("\n")
	for i, r := range rows {
		var line strings.Builder
		for j, cell := range r {
			pad := strings.Repeat(" ", widths[j]-columns(cell))
			if j > 0 {
				line.WriteString("  ")
			}
			if leftAligned(j) {
				line.WriteString(cell + pad)
			} else {
				line.WriteString(pad + cell)
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if i == 0 {
			text = style.paint(ansiDim, text)
		}
		p.printf("%s\n", text)
	}
}

func leftAligned(column int) bool { return column == 0 || column == 3 || column == 7 }

func layerRow(l diag.LayerResult, d *diag.Report, largest float64, style Style) []string {
	row := []string{l.Name, Count(l.Parameters), "", "", "", "", "", ""}
	mark := []string{}
	for _, v := range d.Violations {
		if v.Layer == l.Name {
			mark = append(mark, style.paint(style.level(v.Level), v.Rule))
		}
	}
	if l.Name == d.Worst.ByTransfer {
		mark = append(mark, "◀ worst")
	}
	if l.Status != diag.StatusOK && l.Reason != "" {
		mark = append(mark, fmt.Sprintf("%s: %s", l.Status, l.Reason))
	} else if l.Status != diag.StatusOK {
		mark = append(mark, string(l.Status))
	}
	row[7] = strings.Join(mark, " ")
	if l.Status == diag.StatusSkipped || l.Status == diag.StatusDiverged {
		return row
	}
	if t := l.Transfer; t != nil {
		row[2] = fmt.Sprintf("%.3f ± %.3f", zero(t.DeltaLoss), 1.96*t.SE)
		row[3] = bar(t.DeltaLoss, largest)
	} else {
		row[2] = "–"
	}
	row[4] = fmt.Sprintf("%.3f", l.DeltaLoss)
	row[5], row[6] = "–", "–"
	if l.Kappa != nil {
		row[5] = significant(*l.Kappa)
	}
	if l.Agreement != nil {
		row[6] = fmt.Sprintf("%.2f", zero(*l.Agreement))
	}
	return row
}

// zero removes the sign of a figure that rounds to zero.
func zero(x float64) float64 {
	if math.Abs(x) < 0.0005 {
		return 0
	}
	return x
}

// significant writes a positive number with three or four digits.
func significant(x float64) string {
	switch {
	case x >= 1e5 || x < 1e-3:
		return fmt.Sprintf("%.1e", x)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// bar draws a share of the largest value in eighths of a column, right of a
// line that stands for zero.
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

func (p *printer) violations(c *Check, style Style) {
	if len(c.Diagnosis.Violations) == 0 {
		return
	}
	p.printf("\n")
	for _, v := range c.Diagnosis.Violations {
		p.printf("%s  %-7s  %s\n", style.paint(style.level(v.Level), v.Rule), v.Level, v.Message)
	}
}

// verdict is the line a log is searched for, and what to do next.
func (p *printer) verdict(c *Check, style Style) {
	d := c.Diagnosis
	over := map[string]bool{}
	for _, v := range d.Violations {
		if v.Rule == diag.RuleRecoverableLoss {
			over[v.Layer] = true
		}
	}
	word := style.paint(ansiGreen, "PASS")
	switch {
	case !d.Complete:
		word = style.paint(ansiYellow, "INCOMPLETE")
	case len(c.Failed()) > 0:
		word = style.paint(ansiRed, "FAIL")
	case c.FailOn == "":
		word = style.paint(ansiBold, "DONE") // nothing was to fail
	}
	p.printf("\n%s  %s   %d of %d layers over threshold", word, base(c.Model.Path), len(over), len(d.Layers))
	for _, l := range d.Layers {
		if l.Name == d.Worst.ByTransfer && l.Transfer != nil {
			p.printf(" (worst: %s, ΔL̂ %.3f ± %.3f)", l.Name, l.Transfer.DeltaLoss, 1.96*l.Transfer.SE)
		}
	}
	p.printf("   %.1f s\n", c.Provenance.Seconds)
	for _, hint := range Hints(d) {
		p.printf("%s\n", style.paint(ansiDim, "hint: "+hint))
	}
}

// Hints say what to do about a report, most important first.
func Hints(d *diag.Report) []string {
	var hints []string
	rules := map[string]bool{}
	for _, v := range d.Violations {
		rules[v.Rule] = true
	}
	if rules[diag.RuleCalibrateFirst] && d.CalibrationT == nil {
		hints = append(hints, "most of the loss is over-confidence, which one number repairs; `--calibrated` shows what remains")
	}
	if len(d.Violations) > 0 {
		hints = append(hints, fmt.Sprintf("`modeldoctor explain %s` says what it means and what to do", d.Violations[0].Rule))
	}
	return hints
}

func nats(x *float64) string {
	if x == nil {
		return "not finite"
	}
	return fmt.Sprintf("%.3f nats", *x)
}

// Count writes a number of parameters: 921, 20.3 k, 0.70 M, 85.9 M.
func Count(n int) string {
	switch {
	case n >= 100_000_000:
		return fmt.Sprintf("%.0f M", float64(n)/1e6)
	case n >= 10_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 500_000:
		return fmt.Sprintf("%.2f M", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// thousands writes 1000 as 1,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// base is the last element of a path, on any system.
func base(path string) string {
	return path[strings.LastIndexAny(path, `/\`)+1:]
}

// columns is the number of terminal columns of a string: its characters, apart
// from combining accents and escape sequences.
func columns(s string) int {
	n := 0
	for len(s) > 0 {
		if strings.HasPrefix(s, "\x1b[") {
			s = s[strings.IndexByte(s, 'm')+1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		if r != '\u0302' {
			n++
		}
	}
	return n
}
