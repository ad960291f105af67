package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// CheckText writes a diagnosis for a person: what was read, the model's
// figures, a table of the layers, the violations and one line of verdict.
func CheckText(w io.Writer, c *Check, style Style) error {
	p := &printer{w: w, style: style}
	p.model(c.Model, c.analysed())
	p.header(c)
	p.printf("\n")
	p.table(c.Diagnosis)
	p.violations(c.Diagnosis)
	p.printf("\n")
	p.verdict(c)
	return p.err
}

// analysed says which share of the parameters the diagnosis is about.
func (c *Check) analysed() string {
	share := 100 * c.Diagnosis.Coverage
	if c.Model.Parameters > 0 {
		share *= float64(c.Model.Analysed) / float64(c.Model.Parameters)
	}
	return fmt.Sprintf("%.3g %% analysed", share)
}

// model prints the line about the file, and what is special about it. more, if
// not empty, is said behind the number of parameters.
func (p *printer) model(m Model, more string) {
	p.headline(m, more)
	if m.SoftmaxRemoved {
		p.fields("note   ", softmaxNote)
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
	p.printf("%s   %s, %s parameters%s   %s, opset %d\n",
		p.style.paint(ansiBold, base(m.Path)), printable(m.Family), count(m.Parameters), more, printable(m.Producer), m.Opset)
}

func (p *printer) header(c *Check) {
	d := c.Diagnosis
	p.fields("data   ",
		fmt.Sprintf("%s, %s, %s", printable(c.Data.Name), printable(c.Data.Val), plural(c.Data.ValN, "image")),
		"preprocessing: "+preprocessing(c.Data.Preprocess))
	figures := []string{nats(d.Metrics.Loss, d)}
	if d.Metrics.Error != nil {
		figures = append(figures, fmt.Sprintf("error %.1f %%", 100**d.Metrics.Error))
	}
	if d.Metrics.ECE != nil {
		figures = append(figures, fmt.Sprintf("calibration error %.3f", *d.Metrics.ECE))
	}
	if t := d.Metrics.Temperature; t != nil {
		text := fmt.Sprintf("no temperature lowers it (best %.3g)", t.Value)
		if t.Drop.Mean > 0 {
			text = fmt.Sprintf("a temperature of %.3g alone takes off %s", t.Value, interval(t.Drop.Mean, t.Drop.SE, decimals(d)))
		}
		figures = append(figures, text)
	}
	p.fields("loss   ", figures...)
	if d.CalibrationT != nil {
		p.fields("note   ", fmt.Sprintf("calibrated: below, logits are divided by %.4g, which leaves a loss of %s", *d.CalibrationT, nats(d.Metrics.StartLoss, d)))
	}
	if d.Direction != diag.Line {
		p.fields("note   ", fmt.Sprintf("direction: %s", d.Direction))
	}
}

// preprocessing names the preprocessing and where it comes from; a file has one
// name for both.
func preprocessing(p Preprocess) string {
	if base(p.Source) == printable(p.Name) {
		return printable(p.Source)
	}
	return printable(fmt.Sprintf("%s (%s)", p.Name, p.Source))
}

// nats writes a loss.
func nats(x *float64, d *diag.Report) string {
	switch {
	case x != nil:
		return fixed(*x, decimals(d)) + " nats"
	case d.Complete:
		return "not finite"
	}
	return "not measured"
}

// maxListed is how many names a list has before the rest is only counted.
const maxListed = 6

// violations prints the violations of a rule and level together, once, with the
// layers that they are about.
func (p *printer) violations(d *diag.Report) {
	if len(d.Violations) > 0 {
		p.printf("\n")
	}
	const labelWidth = len("MD001  warning  ")
	for _, group := range groupViolations(d) {
		v := group[0]
		text := v.Message
		if v.Layer != "" {
			text = v.Layer + ": " + text
		}
		if more := len(group) - 1; more > 0 {
			names := make([]string, 0, maxListed)
			for _, other := range group[1:min(len(group), maxListed+1)] {
				names = append(names, other.Layer)
			}
			text += "; likewise " + strings.Join(names, ", ")
			if left := more - len(names); left > 0 {
				text += fmt.Sprintf(" and %d more", left)
			}
		}
		label := p.style.paint(levelCode(v.Level), v.Rule) + fmt.Sprintf("  %-9s", v.Level)
		p.hanging(label, labelWidth, printable(text))
	}
}

// groupViolations collects violations of layers that say the same: of one rule
// and level, and, where the reason matters, with the same message. The worst
// layer comes first.
func groupViolations(d *diag.Report) [][]diag.Violation {
	type key struct {
		rule    string
		level   diag.Level
		message string
		model   bool
	}
	var groups [][]diag.Violation
	index := map[key]int{}
	for _, v := range d.Violations {
		k := key{v.Rule, v.Level, v.Message, v.Layer == ""}
		if v.Rule == diag.RuleRecoverableLoss {
			k.message = "" // its figures are in the table
		}
		i, ok := index[k]
		if !ok {
			i = len(groups)
			index[k] = i
			groups = append(groups, nil)
		}
		if v.Layer != "" && v.Layer == d.Worst.ByTransfer {
			groups[i] = slices.Insert(groups[i], 0, v)
		} else {
			groups[i] = append(groups[i], v)
		}
	}
	return groups
}

// verdict is the line a log is searched for, and what to do next.
func (p *printer) verdict(c *Check) {
	d := c.Diagnosis
	code, word := ansiGreen, "PASS"
	switch {
	case !d.Complete:
		code, word = ansiYellow, "INCOMPLETE"
	case len(c.Failed()) > 0:
		code, word = ansiRed, "FAIL"
	case c.FailOn == "":
		code, word = ansiBold, "DONE" // nothing was to fail
	}
	over, done := 0, 0
	worst := ""
	for _, l := range d.Layers {
		if measured(l) {
			done++
		}
		if slices.ContainsFunc(d.Violations, func(v diag.Violation) bool {
			return v.Rule == diag.RuleRecoverableLoss && v.Layer == l.Name
		}) {
			over++
		}
		if l.Name == d.Worst.ByTransfer && l.Transfer != nil {
			worst = fmt.Sprintf(" (worst: %s, ΔL̂ %s)", printable(l.Name), interval(l.Transfer.Gain.Mean, l.Transfer.Gain.SE, decimals(d)))
		}
	}
	layers := fmt.Sprintf("%d of %s over threshold%s", over, plural(len(d.Layers), "layer"), worst)
	if done < len(d.Layers) {
		layers = fmt.Sprintf("%d of %s measured, %d over threshold%s", done, plural(len(d.Layers), "layer"), over, worst)
	}
	p.printf("%s  %s   %s   %.1f s\n", p.style.paint(code, word), base(c.Model.Path), layers, c.Provenance.Seconds)
	for _, hint := range hints(d) {
		p.printf("%s\n", p.style.paint(ansiDim, "hint: "+hint))
	}
}

// hints say what to do about a report, most important first.
func hints(d *diag.Report) []string {
	var hints []string
	if d.CalibrationT == nil && slices.ContainsFunc(d.Violations, func(v diag.Violation) bool { return v.Rule == diag.RuleCalibrateFirst }) {
		hints = append(hints, "`--calibrated` shows what remains once a temperature has taken its share")
	}
	if slices.ContainsFunc(d.Violations, func(v diag.Violation) bool { return v.Rule == diag.RuleRecoverableLoss }) {
		hints = append(hints, "`modeldoctor fix` treats the worst layer, and writes a file only if that surely helps")
	}
	if len(d.Violations) > 0 {
		hints = append(hints, fmt.Sprintf("`modeldoctor explain %s` says what the rule means and what to do", d.Violations[0].Rule))
	}
	return hints
}
