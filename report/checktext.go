package report

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
)

// text tells the verdict and what it rests on, what was read, the model's
// figures, a table of the layers, the violations, what to do next, and the
// verdict again, in one line for a log.
func (c *Check) text(p *printer) {
	end := conclusion{c}
	p.verdict(end.color(), string(c.Verdict), end.basis()...)
	p.printf("\n")
	p.model(c.Model, analysed(c))
	c.header(p)
	p.printf("\n")
	layerTable{c}.text(p)
	c.violations(p)
	p.printf("\n")
	for _, hint := range end.hints() {
		p.hint(hint)
	}
	p.verdict(end.color(), string(c.Verdict), end.summary()...)
}

// analysed says which share of the parameters the diagnosis is about.
func analysed(c *Check) string {
	return fmt.Sprintf("%.3g %% analysed", 100*c.Coverage)
}

// header says what was measured on, and the figures of the whole model.
func (c *Check) header(p *printer) {
	p.fields("data   ", dataFields(c)...)
	dataNotes(p, c.Data.Skipped, c.Data.AssumedOrder)
	if c.Plan != nil {
		p.fields("plan   ", c.Plan.fields()...)
	}
	p.fields("loss   ", lossFields(c)...)
	if t := c.Metrics.Temperature; t != nil {
		p.fields("temp.  ", temperatureText(c, t))
	}
	if c.Limit != nil {
		p.fields("limit  ", "gains are compared with "+c.limit())
	}
	for _, note := range measurementNotes(c) {
		p.fields("note   ", note)
	}
}

// dataFields say which images were looked at.
func dataFields(c *Check) []string {
	parts := []string{
		fmt.Sprintf("%s, %s, %s", printable(c.Data.Name), printable(c.Data.Val), plural(c.Data.ValN, "image")),
		"preprocessing: " + preprocessing(c.Data.Preprocess),
	}
	if c.Data.Train != "" {
		parts = append(parts, fmt.Sprintf("training: %s, %s", printable(c.Data.Train), plural(c.Data.TrainN, "image")))
	}
	return parts
}

// lossFields are the figures of the checkpoint as it came, and the loss that layers are
// measured at.
func lossFields(c *Check) []string {
	figures := []string{nats(c.Metrics.Loss, c)}
	if c.Calibrated != nil {
		given := ""
		if c.Calibration == string(diag.Given) {
			given = " (given)"
		}
		figures = append(figures, fmt.Sprintf("at temperature %.3g%s: %s", *c.Calibrated, given, nats(c.Metrics.Calibrated, c)))
	}
	if c.Metrics.Error != nil {
		figures = append(figures, fmt.Sprintf("error %.1f %%", 100**c.Metrics.Error))
	}
	if c.Metrics.ECE != nil {
		figures = append(figures, fmt.Sprintf("calibration error %.3f", *c.Metrics.ECE))
	}
	return figures
}

// temperatureText says what the best temperature does to the loss, and on which side
// of the threshold that is.
func temperatureText(c *Check, t *Temperature) string {
	text := ""
	drop := interval(t.Mean, t.SE, c.decimals())
	switch {
	case t.Value == nil:
		text = fmt.Sprintf("none is best: the loss falls beyond %g, the end of the range, by %s nats", *t.Beyond, drop)
	case t.Mean > 0:
		text = fmt.Sprintf("%.3g alone takes off %s nats", *t.Value, drop)
	default:
		text = fmt.Sprintf("none lowers the loss of images that it was not fitted on (%.3g: %s nats)", *t.Value, drop)
	}
	if t.Verdict != "" {
		text += ": " + string(t.Verdict)
	}
	if t.Images != nil {
		text += fmt.Sprintf(", about %s would decide", plural(*t.Images, "image"))
	}
	return text
}

// limit is the threshold, in nats and as a share. It is the loss that layers are
// measured at that it is a share of.
func (c *Check) limit() string {
	of := "the loss"
	if c.Calibrated != nil {
		of += fmt.Sprintf(" at temperature %.3g", *c.Calibrated)
	}
	return fmt.Sprintf("%s nats, %.3g %% of %s", fixed(*c.Limit, c.decimals()), 100*c.Threshold, of)
}

// measurementNotes say what else is to be known of how layers were measured.
func measurementNotes(c *Check) []string {
	var notes []string
	switch {
	case c.Calibrated != nil:
	case c.Calibration == string(diag.Unfitted) && c.Metrics.Loss != nil:
		notes = append(notes, "not calibrated: no temperature is best, so layers are measured with the logits as they are")
	case c.Calibration == string(diag.Raw):
		notes = append(notes, "not calibrated: layers are measured with the logits as they are")
	}
	if c.Direction != diag.Line.String() {
		notes = append(notes, "direction: "+c.Direction)
	}
	if n := len(c.Layers); n < c.Tests {
		notes = append(notes, fmt.Sprintf("%d of the model's %d layers, for all of which intervals are corrected", n, c.Tests))
	}
	return append(notes, gateNotes(c)...)
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

// dataNotes prints what is to be known of the images.
func dataNotes(p *printer, skipped int, assumed bool) {
	for _, caution := range dataCautions(skipped, assumed) {
		p.fields("note   ", caution)
	}
}

// dataCautions say how many images were left out, and what is assumed of the rest.
func dataCautions(skipped int, assumed bool) []string {
	var cautions []string
	if skipped > 0 {
		cautions = append(cautions, plural(skipped, "image")+" left out that cannot be read")
	}
	if assumed {
		cautions = append(cautions, "nothing names the model's outputs: class folders are taken for them in sorted order")
	}
	return cautions
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
		label := p.style.paint(levelCode(group[0].Level), group[0].Rule) + fmt.Sprintf("  %-9s", group[0].Level)
		p.hanging(label, labelWidth, groupText(group))
	}
}

// groupText is what the first violation of a group says, and of whom else.
func groupText(group []Violation) string {
	text := group[0].Message
	if layer := group[0].Layer; layer != "" {
		text = string(layer) + ": " + text
	}
	text = standing(group[0]) + text
	if len(group) > 1 {
		text += "; likewise " + listed(layersOf(group[1:]))
	}
	return printable(text)
}

// layersOf names the layers that violations are about.
func layersOf(violations []Violation) []string {
	var names []string
	for _, v := range violations {
		if v.Layer != "" {
			names = append(names, printable(string(v.Layer)))
		}
	}
	return names
}

// groupViolations collects violations of layers that say the same: of one rule
// and level, and, where the reason matters, with the same message. The worst
// layer comes first.
func groupViolations(violations []Violation, worst Optional) [][]Violation {
	type key struct {
		rule    string
		level   diag.Level
		message string
		stands  string
		model   bool
	}
	var groups [][]Violation
	index := map[key]int{}
	for _, v := range violations {
		k := key{v.Rule, v.Level, v.Message, standing(v), v.Layer == ""}
		switch v.Rule {
		case diag.RuleRecoverableLoss, diag.RuleOverFitted, diag.RuleUnderTrained:
			k.message = "" // their figures are in the table
		case diag.RuleRegression: // what others could make up for; the JSON has the figures
			k.message = ""
		}
		i, ok := index[k]
		if !ok {
			i = len(groups)
			index[k] = i
			groups = append(groups, nil)
		}
		if v.Layer != "" && v.Layer == worst && v.Rule != diag.RuleRegression { // whose largest is first
			groups[i] = slices.Insert(groups[i], 0, v)
		} else {
			groups[i] = append(groups[i], v)
		}
	}
	return groups
}

// count is the number of layers with that verdict.
func (c *Check) count(v diag.Verdict) int {
	n := 0
	for _, l := range c.Layers {
		if l.Verdict == v {
			n++
		}
	}
	return n
}

// measured is the number of layers that have figures.
func (c *Check) measured() int {
	n := 0
	for _, l := range c.Layers {
		if l.measured() {
			n++
		}
	}
	return n
}
