package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// conclusion words the verdict of a check: what it rests on, what it means for
// whoever called, and what to do next.
type conclusion struct{ *Check }

// color is that of the verdict.
func (c conclusion) color() string {
	switch c.Verdict {
	case Pass:
		return ansiGreen
	case Fail:
		return ansiRed
	}
	return ansiYellow
}

// basis is what the verdict rests on.
func (c conclusion) basis() []string {
	switch {
	case c.Verdict == Incomplete:
		return []string{fmt.Sprintf("the time limit came first: %d of %s measured", c.measured(), plural(len(c.Layers), "layer"))}
	case c.Verdict == Fail:
		return c.failures()
	case c.Reason != "":
		return []string{c.Reason}
	case c.Limit == nil:
		return []string{"the loss is not known"}
	case c.Verdict == Pass:
		return []string{fmt.Sprintf("%s%s and the temperature take off significantly less than %s", waived(c.Check), c.examined(), limits(c.Check))}
	}
	return c.undecided()
}

// undecided says what stands in the way of a verdict.
func (c conclusion) undecided() []string {
	var open, over, fields []string
	fields = notSearched(c.Check)
	if n := undecidedLayers(c.Check); n > 0 {
		open = append(open, fmt.Sprintf("%d of %s", n, plural(len(c.Layers), "layer")))
	}
	if n := c.count(diag.Over) - accepted(c.Check, diag.RuleRecoverableLoss); n > 0 {
		over = append(over, plural(n, "layer"))
	}
	switch t := c.Metrics.Temperature; {
	case t == nil || t.Verdict == diag.Undecided:
		open = append(open, "the temperature")
	case t.Verdict == diag.Over && accepted(c.Check, diag.RuleTemperature) == 0:
		over = append(over, "the temperature")
	}
	if len(open) > 0 {
		fields = append(fields, strings.Join(open, " and ")+" may lie on either side of "+c.limit())
	}
	if len(over) > 0 {
		fields = append(fields, strings.Join(over, " and ")+" over, but not at the level of an error")
	}
	if text := c.wouldDecide(); text != "" {
		fields = append(fields, text)
	}
	return fields
}

// breaches are the violations that make the verdict FAIL.
func (c conclusion) breaches() []Violation {
	var breaches []Violation
	for _, v := range c.Violations {
		if v.Suppressed == "" && v.Level == diag.LevelError || fails(c.Check, v) {
			breaches = append(breaches, v)
		}
	}
	return breaches
}

// failures names the rules that make the verdict FAIL, with their layers.
func (c conclusion) failures() []string {
	var texts []string
	for _, group := range groupViolations(c.breaches(), c.Worst.ByTransfer) {
		v := group[0]
		text := fmt.Sprintf("%s %s", v.Rule, v.Level)
		if rule, ok := diag.ExplainRule(v.Rule); ok {
			text += ": " + rule.Title
		}
		if names := layersOf(group); len(names) > 0 {
			text += fmt.Sprintf(" (%s)", listed(names))
		}
		if since := sinceText(v); since != "" {
			text += ", " + since
		}
		texts = append(texts, text)
	}
	if c.Reason != "" {
		texts = append(texts, c.Reason)
	}
	return texts
}

// examined says which layers a verdict is about.
func (c conclusion) examined() string {
	switch n := len(c.Layers); {
	case n < c.Tests:
		return fmt.Sprintf("%d of the model's %d layers", n, c.Tests)
	case n == 1:
		return "the layer"
	default:
		return fmt.Sprintf("all %d layers", n)
	}
}

// wouldDecide says how many images would decide an UNDECIDED, and is empty where
// that cannot be said.
func (c conclusion) wouldDecide() string {
	if c.Images == nil {
		return ""
	}
	return fmt.Sprintf("about %s would decide", plural(*c.Images, "image"))
}

// summary is what the line says that a log is searched for.
func (c conclusion) summary() []string {
	layers := fmt.Sprintf("%d of %s over", c.count(diag.Over), plural(len(c.Layers), "layer"))
	if done := c.measured(); done < len(c.Layers) {
		layers = fmt.Sprintf("%d of %s measured, %d over", done, plural(len(c.Layers), "layer"), c.count(diag.Over))
	}
	if n := len(c.Undecided); n > 0 {
		layers += fmt.Sprintf(", %d undecided", n)
	}
	if n := len(c.Violations) - len(counting(c.Check)); n > 0 {
		layers += fmt.Sprintf(", %d suppressed", n)
	}
	fields := []string{base(c.Model.Path), layers}
	if t := c.Metrics.Temperature; t != nil && t.Verdict != "" {
		fields = append(fields, "temperature "+string(t.Verdict))
	}
	if rules := otherRules(c.breaches()); c.Verdict == Fail && rules != "" {
		fields = append(fields, rules)
	}
	if text := cmp.Or(c.Reason, c.wouldDecide()); text != "" {
		fields = append(fields, text)
	}
	return append(fields, c.exit(), fmt.Sprintf("%.1f s", c.Provenance.Seconds))
}

// exit is the exit status, with the flag that decided it if that is another than
// the verdict suggests.
func (c conclusion) exit() string {
	text := fmt.Sprintf("exit status %d", c.ExitCode)
	switch {
	case c.Verdict == Fail && c.ExitCode == 0 && c.FailOnNew && c.FailOn != FailNever:
		text += " (--fail-on-new: nothing is new)"
	case c.Verdict == Fail && asksForMore(c.Check):
		text += " (--on-undecided fail: nothing that fails is new, and the images do not decide the rest)"
	case c.Verdict == Fail && c.ExitCode == 0, c.Verdict == Unclear && c.OnUndecided == UndecidedFail && c.FailOn == FailNever:
		text += fmt.Sprintf(" (--fail-on %s)", c.FailOn)
	case c.Verdict == Unclear:
		text += fmt.Sprintf(" (--on-undecided %s)", c.OnUndecided)
	}
	return text
}

// hints say what to do about a report, most important first.
func (c conclusion) hints() []string {
	var hints []string
	breached := func(rules ...string) bool {
		return slices.ContainsFunc(counting(c.Check), func(v Violation) bool { return slices.Contains(rules, v.Rule) })
	}
	if c.Verdict == Unclear && c.OnUndecided != UndecidedPass {
		hints = append(hints, "`modeldoctor explain undecided` says what an undecided verdict means and what to do")
	}
	if t := c.Metrics.Temperature; t != nil && t.Value != nil && breached(diag.RuleTemperature) {
		hints = append(hints, "`modeldoctor fix --recipe temperature` divides the logits, and writes a file only if that helps significantly")
	}
	if c.Calibrated == nil && breached(diag.RuleCalibrateFirst) {
		hints = append(hints, "without `--calibration none` only what a temperature cannot repair is shown")
	}
	if breached(diag.RuleRecoverableLoss) {
		hints = append(hints, "`modeldoctor fix` treats the worst layer, and writes a file only if that helps significantly")
	}
	if images := c.layerImages(); images != "" && c.Verdict == Fail {
		hints = append(hints, images)
	}
	if len(counting(c.Check)) > 0 {
		hints = append(hints, fmt.Sprintf("`modeldoctor explain %s` says what the rule means and what to do", c.mostSevere().Rule))
	}
	return hints
}

// mostSevere is the first violation of the most severe level that counts.
func (c conclusion) mostSevere() Violation {
	return slices.MinFunc(counting(c.Check), func(a, b Violation) int { return severity(a.Level) - severity(b.Level) })
}

// severity is 0 for the most severe level.
func severity(l diag.Level) int {
	return slices.Index([]diag.Level{diag.LevelError, diag.LevelWarning, diag.LevelInfo}, l)
}

// layerImages says how many images the undecided layers need; empty where none
// is undecided, or that cannot be said of any.
func (c conclusion) layerImages() string {
	fewest, most := 0, 0
	for _, u := range c.Undecided {
		if u.Images == nil {
			continue
		}
		if most = max(most, *u.Images); fewest == 0 || *u.Images < fewest {
			fewest = *u.Images
		}
	}
	switch {
	case most == 0:
		return ""
	case fewest == most:
		return fmt.Sprintf("about %s would decide what is undecided of the layers", plural(most, "image"))
	}
	return fmt.Sprintf("about %s to %s would decide the undecided layers one by one; --wide shows how many each", thousands(fewest), plural(most, "image"))
}
