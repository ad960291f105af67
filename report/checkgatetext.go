package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// sinceWords say of a violation whether the baseline has it.
var sinceWords = map[diag.Since]string{
	diag.New:      "new",
	diag.Worse:    "worse than the baseline",
	diag.Known:    "known from the baseline",
	diag.Unproven: "not in the baseline, but not significantly more",
}

// sinceText says whether the baseline has a violation, unless that is what it is about.
func sinceText(v Violation) string {
	if v.Rule == diag.RuleRegression || v.Rule == diag.RuleHigherLoss {
		return ""
	}
	return sinceWords[v.Since]
}

// standing stands in front of a violation: whether it counts, and is new.
func standing(v Violation) string {
	var words []string
	if v.Suppressed != "" {
		words = append(words, "suppressed ("+v.Suppressed+")")
	}
	if since := sinceText(v); since != "" {
		words = append(words, since)
	}
	if len(words) == 0 {
		return ""
	}
	return "[" + strings.Join(words, "; ") + "] "
}

// otherRules names the rules of violations, each once, but for those about gains that
// are over.
func otherRules(violations []Violation) string {
	var names []string
	for _, v := range violations {
		if v.Rule == diag.RuleRecoverableLoss || v.Rule == diag.RuleTemperature {
			continue
		}
		if name := v.Rule + " " + string(v.Level); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// counting are the violations that are not suppressed.
func counting(c *Check) []Violation {
	var counting []Violation
	for _, v := range c.Violations {
		if v.Suppressed == "" {
			counting = append(counting, v)
		}
	}
	return counting
}

// accepted is the number of a rule's violations that are suppressed.
func accepted(c *Check, rule string) int {
	n := 0
	for _, v := range c.Violations {
		if v.Rule == rule && v.Suppressed != "" {
			n++
		}
	}
	return n
}

// waived says what a PASS is not about, in front of what it is.
func waived(c *Check) string {
	n := 0
	for _, s := range c.Suppressions {
		n += s.Matches
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("but for %s, ", plural(n, "suppressed finding"))
}

// limits are the threshold, and the temperature's where that is another.
func limits(c *Check) string {
	if l, t := c.Limit, c.TemperatureLimit; t != nil && *l != *t {
		return fmt.Sprintf("%s (the temperature: than %s)", c.limit(), fixed(*t, c.decimals()))
	}
	return c.limit()
}

// gateNotes say what else the verdict rests on: settings of rules, the baseline, and
// suppressions that nothing is left for.
func gateNotes(c *Check) []string {
	var notes []string
	for _, r := range c.Rules {
		text := r.Rule
		if r.Level != "" {
			text += " counts as " + string(r.Level)
		}
		if r.Threshold != nil {
			text += fmt.Sprintf(" is breached from %.3g %% on", 100**r.Threshold)
		}
		notes = append(notes, text+" (--rule)")
	}
	if c.Baseline != nil {
		notes = append(notes, c.Baseline.note())
		if gone := c.Baseline.Gone; len(gone) > 0 {
			notes = append(notes, "the baseline had, and this report has no longer: "+goneText(gone))
		}
	}
	for _, s := range c.Suppressions {
		if s.Matches == 0 {
			where := ""
			if s.Layer != "" {
				where = " in " + string(s.Layer)
			}
			notes = append(notes, printable(fmt.Sprintf("the suppression of %s%s (%s) matches nothing: it can go", s.Rule, where, s.Reason)))
		}
	}
	return notes
}

// goneText lists violations by rule and layer.
func goneText(gone []Violation) string {
	names := make([]string, len(gone))
	for i, v := range gone {
		names[i] = v.Rule
		if v.Layer != "" {
			names[i] += " of " + string(v.Layer)
		}
	}
	return printable(listed(names))
}

// note says what a check was compared with, and how.
func (b *Baseline) note() string {
	paired, worse, compared := 0, 0, 0
	for _, change := range b.Changes {
		switch {
		case change.Reason != "":
			continue
		case change.Paired:
			paired++
		}
		compared++
		if change.Worse {
			worse++
		}
	}
	images := "other images"
	if b.SameImages {
		images = "the same images"
	}
	how := fmt.Sprintf("%d of them image by image", paired)
	switch {
	case paired == 0 && b.SameImages:
		how = "none of them image by image, for which the baseline needs --per-image"
	case paired == 0:
		how = "by the figures, whose errors are added"
	}
	return printable(fmt.Sprintf("compared with %s (%s), on %s: %s, %s; %d significantly higher", b.Path, base(b.Model), images, plural(compared, "figure"), how, worse))
}
