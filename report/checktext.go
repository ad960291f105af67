package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// text tells what was read, the model's figures, a table of the layers, the
// violations and one line of verdict.
func (c *Check) text(p *printer) {
	p.model(c.Model, analysed(c))
	c.header(p)
	p.printf("\n")
	c.table(p)
	c.violations(p)
	p.printf("\n")
	c.verdict(p)
}

// analysed says which share of the parameters the diagnosis is about.
func analysed(c *Check) string {
	share := 100 * c.Coverage
	if c.Model.Parameters > 0 {
		share *= float64(c.Model.Analysed) / float64(c.Model.Parameters)
	}
	return fmt.Sprintf("%.3g %% analysed", share)
}

// header says what was measured on, and the figures of the whole model.
func (c *Check) header(p *printer) {
	p.fields("data   ",
		fmt.Sprintf("%s, %s, %s", printable(c.Data.Name), printable(c.Data.Val), plural(c.Data.ValN, "image")),
		"preprocessing: "+preprocessing(c.Data.Preprocess))
	dataNotes(p, c.Data.Skipped, c.Data.AssumedOrder)
	figures := []string{nats(c.Metrics.Loss, c)}
	if c.Metrics.Error != nil {
		figures = append(figures, fmt.Sprintf("error %.1f %%", 100**c.Metrics.Error))
	}
	if c.Metrics.ECE != nil {
		figures = append(figures, fmt.Sprintf("calibration error %.3f", *c.Metrics.ECE))
	}
	p.fields("loss   ", figures...)
	printTemperature(p, c)
	if c.Direction != diag.Line.String() {
		p.fields("note   ", "direction: "+c.Direction)
	}
}

// printTemperature says what a temperature does to the loss, and which one the layers
// are measured at.
func printTemperature(p *printer, c *Check) {
	if t := c.Metrics.Temperature; t != nil {
		text := "no temperature lowers the loss"
		switch {
		case t.Value == nil:
			text = fmt.Sprintf("none is best: the loss falls beyond %g, the end of the range", *t.Beyond)
		case t.Mean > 0:
			text = fmt.Sprintf("%.3g alone takes off %s", *t.Value, interval(t.Mean, t.SE, c.decimals()))
		}
		p.fields("temp.  ", text)
	}
	switch {
	case c.Calibrated != nil:
		p.fields("note   ", fmt.Sprintf("calibrated: below, logits are divided by %.4g, which leaves a loss of %s", *c.Calibrated, nats(c.Metrics.Calibrated, c)))
	case c.Calibration == string(diag.Unfitted) && c.Metrics.Loss != nil:
		p.fields("note   ", "not calibrated: no temperature is best, and below logits are taken as they are")
	}
}

// preprocessing names the preprocessing and where it comes from; a file has one
// name for both.
func preprocessing(p Preprocess) string {
	text := fmt.Sprintf("%s (%s)", p.Name, p.Source)
	if base(p.Source) == printable(p.Name) {
		text = p.Source
	}
	if p.Channels != "" {
		text += ", channels in the order " + p.Channels
	}
	if p.EXIF {
		text += ", turned by EXIF"
	}
	return printable(text)
}

// dataNotes says how many images were left out, and whether the order of classes
// was assumed.
func dataNotes(p *printer, skipped int, assumed bool) {
	if skipped > 0 {
		p.fields("note   ", plural(skipped, "image")+" left out that cannot be read")
	}
	if assumed {
		p.fields("note   ", "nothing names the model's outputs: class folders are taken for them in sorted order")
	}
}

// nats writes a loss.
func nats(x *float64, c *Check) string {
	switch {
	case x != nil:
		return fixed(*x, c.decimals()) + " nats"
	case c.Complete:
		return "not finite"
	}
	return "not measured"
}

// maxListed is how many names a list has before the rest is only counted.
const maxListed = 6

// violations prints the violations of a rule and level together, once, with the
// layers that they are about.
func (c *Check) violations(p *printer) {
	if len(c.Violations) > 0 {
		p.printf("\n")
	}
	const labelWidth = len("MD001  warning  ")
	for _, group := range groupViolations(c.Violations, c.Worst.ByTransfer) {
		v := group[0]
		text := v.Message
		if v.Layer != "" {
			text = string(v.Layer) + ": " + text
		}
		if more := len(group) - 1; more > 0 {
			names := make([]string, 0, maxListed)
			for _, other := range group[1:min(len(group), maxListed+1)] {
				names = append(names, string(other.Layer))
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
func groupViolations(violations []Violation, worst Optional) [][]Violation {
	type key struct {
		rule    string
		level   diag.Level
		message string
		model   bool
	}
	var groups [][]Violation
	index := map[key]int{}
	for _, v := range violations {
		k := key{v.Rule, v.Level, v.Message, v.Layer == ""}
		switch v.Rule {
		case diag.RuleRecoverableLoss, diag.RuleOverFitted, diag.RuleUnderTrained:
			k.message = "" // their figures are in the table
		}
		i, ok := index[k]
		if !ok {
			i = len(groups)
			index[k] = i
			groups = append(groups, nil)
		}
		if v.Layer != "" && v.Layer == worst {
			groups[i] = slices.Insert(groups[i], 0, v)
		} else {
			groups[i] = append(groups[i], v)
		}
	}
	return groups
}

// verdict is the line a log is searched for, and what to do next.
func (c *Check) verdict(p *printer) {
	code := map[Verdict]string{Pass: ansiGreen, Fail: ansiRed}[c.Verdict]
	if code == "" {
		code = ansiYellow
	}
	over, done := 0, 0
	worst := ""
	for _, l := range c.Layers {
		if l.measured() {
			done++
		}
		if l.Verdict == diag.Over {
			over++
		}
		if l.Name == string(c.Worst.ByTransfer) && l.Transfer != nil {
			worst = fmt.Sprintf(" (worst: %s, %s)", printable(l.Name), l.Transfer.text(c.decimals()))
		}
	}
	layers := fmt.Sprintf("%d of %s over", over, plural(len(c.Layers), "layer"))
	if done < len(c.Layers) {
		layers = fmt.Sprintf("%d of %s measured, %d over", done, plural(len(c.Layers), "layer"), over)
	}
	if n := len(c.Undecided); n > 0 {
		layers += fmt.Sprintf(", %d undecided", n)
	}
	layers += worst
	p.printf("%s  %s   %s   %.1f s\n", p.style.paint(code, string(c.Verdict)), base(c.Model.Path), layers, c.Provenance.Seconds)
	for _, hint := range c.hints() {
		p.printf("%s\n", p.style.paint(ansiDim, "hint: "+hint))
	}
}

// hints say what to do about a report, most important first.
func (c *Check) hints() []string {
	var hints []string
	if c.Verdict == Unclear && c.OnUndecided != UndecidedPass {
		switch {
		case c.Reason != "":
			hints = append(hints, "no verdict: "+c.Reason)
		case c.Images != nil:
			hints = append(hints, fmt.Sprintf("about %s would decide", plural(*c.Images, "image")))
		}
	}
	if c.Calibrated == nil && slices.ContainsFunc(c.Violations, func(v Violation) bool { return v.Rule == diag.RuleCalibrateFirst }) {
		hints = append(hints, "without `--calibration none` only what a temperature cannot repair is shown")
	}
	if slices.ContainsFunc(c.Violations, func(v Violation) bool { return v.Rule == diag.RuleRecoverableLoss }) {
		hints = append(hints, "`modeldoctor fix` treats the worst layer, and writes a file only if that helps significantly")
	}
	if len(c.Violations) > 0 {
		hints = append(hints, fmt.Sprintf("`modeldoctor explain %s` says what the rule means and what to do", c.Violations[0].Rule))
	}
	return hints
}
