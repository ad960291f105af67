package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// suites has a case for each layer and each rule about the model, and one that says
// whether there is a verdict at all.
func (c *Check) suites() []suite {
	s := suite{
		command: "check", path: c.Model.Path, sha256: c.Model.SHA256, verdict: c.Verdict,
		summary: conclusion{c}.summary(), exitCode: c.ExitCode, provenance: c.Provenance,
	}
	rest := slices.Clone(c.Violations)
	take := func(belongs func(v Violation) bool) (taken []Violation) {
		rest = slices.DeleteFunc(rest, func(v Violation) bool {
			if belongs(v) {
				taken = append(taken, v)
				return true
			}
			return false
		})
		return taken
	}
	cases := suiteCases{c}
	for i := range c.Layers {
		l := &c.Layers[i]
		s.cases = append(s.cases, cases.layer(l, take(func(v Violation) bool { return string(v.Layer) == l.Name })))
	}
	for _, r := range diag.Rules() {
		violations := take(func(v Violation) bool { return v.Rule == r.ID })
		if !slices.Contains(layerRules, r.ID) || len(violations) > 0 {
			s.cases = append(s.cases, cases.rule(r, violations))
		}
	}
	for _, v := range rest { // none may be lost
		s.cases = append(s.cases, cases.judged(v.Rule, []Violation{v}))
	}
	s.cases = append(s.cases, cases.decision())
	if c.Baseline != nil {
		s.gone = c.Baseline.Gone
	}
	return []suite{s}
}

// layerRules are about layers only: what they say is said in the layers' cases.
var layerRules = []string{diag.RuleRecoverableLoss, diag.RuleOverFitted, diag.RuleUnderTrained}

// suiteCases makes the cases of a check.
type suiteCases struct{ *Check }

// breach reports whether a violation makes the verdict FAIL. Where only what is new
// fails, what is known is no failure to a pipeline.
func (c suiteCases) breach(v Violation) bool {
	return fails(c.Check, v) || v.Level == diag.LevelError && v.Suppressed == "" && !c.FailOnNew
}

// judged is a case with what its violations make of it: one that is reported but
// does not fail leaves it neither good nor bad, unless it only informs.
func (c suiteCases) judged(name string, violations []Violation) testCase {
	t := testCase{name: name}
	for _, v := range violations {
		t.findings = append(t.findings, finding{
			rule: v.Rule, level: v.Level, layer: string(v.Layer), message: standing(v) + v.Message, weight: c.gain(v.Layer),
			settled: settled(c.Check, v), suppressed: v.Suppressed, since: c.since(v),
		})
		switch {
		case c.breach(v) && v.Rule == diag.RuleNotMeasured:
			t.state = caseBroken
		case c.breach(v) && t.state != caseBroken:
			t.state = caseFailed
		case v.Level != diag.LevelInfo && t.state == casePassed:
			t.state, t.reason = caseSkipped, fmt.Sprintf("%s %s, which does not fail with --fail-on %s: %s%s", v.Rule, v.Level, c.FailOn, standing(v), v.Message)
		}
	}
	slices.SortStableFunc(t.findings, func(a, b finding) int { return severity(a.level) - severity(b.level) })
	return t
}

// since says whether the baseline has a violation. One that is about the difference from
// the baseline is new.
func (c suiteCases) since(v Violation) diag.Since {
	if v.Rule == diag.RuleRegression || v.Rule == diag.RuleHigherLoss {
		return diag.New
	}
	return v.Since
}

// gain is ΔL̂ of a layer, 0 where there is none.
func (c suiteCases) gain(layer Optional) float64 {
	for _, l := range c.Layers {
		if l.Name == string(layer) && l.Transfer != nil {
			return l.Transfer.Mean
		}
	}
	return 0
}

// layer is the case of one layer.
func (c suiteCases) layer(l *Layer, violations []Violation) testCase {
	t := c.judged("layer "+l.Name, violations)
	if t.state != casePassed {
		return t
	}
	switch {
	case l.Status == diag.StatusSkipped || l.Status == diag.StatusDiverged:
		t.state, t.reason = caseSkipped, "not measured: "+l.Reason
	case l.Verdict == diag.Undecided:
		t.state, t.reason = caseSkipped, "undecided: the gain may lie on either side of the threshold"
		if l.Images != nil {
			t.reason += fmt.Sprintf("; about %s would decide", plural(*l.Images, "image"))
		}
	case l.Verdict != diag.Under:
		t.state, t.reason = caseSkipped, "not compared with the threshold"
	}
	return t
}

// rule is the case of a rule about the model.
func (c suiteCases) rule(r diag.Rule, violations []Violation) testCase {
	t := c.judged(r.ID+" "+r.Title, violations)
	if t.state != casePassed {
		return t
	}
	switch temperature := c.Metrics.Temperature; r.ID {
	case diag.RuleTemperature:
		switch {
		case temperature == nil || temperature.Verdict == "":
			t.state, t.reason = caseSkipped, "not measured"
		case temperature.Verdict != diag.Under:
			t.state, t.reason = caseSkipped, string(temperature.Verdict)+": "+temperatureText(c.Check, temperature)
		}
	case diag.RuleRegression, diag.RuleHigherLoss:
		if c.Baseline == nil {
			t.state, t.reason = caseSkipped, "there is no baseline to compare with"
		}
	case diag.RuleChance, diag.RuleClasses, diag.RuleClassShares:
		if c.Metrics.Error == nil {
			t.state, t.reason = caseSkipped, "not measured"
		}
	}
	return t
}

// decision is the case of the verdict itself, which is bad where nothing decides it
// and the caller asked for a decision.
func (c suiteCases) decision() testCase {
	t := testCase{name: "the images decide"}
	say := func(rule string, level diag.Level) {
		basis := conclusion(c).basis()
		if c.Verdict == Fail {
			basis = conclusion(c).undecided()
		}
		t.reason = strings.Join(basis, "; ")
		f := finding{rule: rule, level: level, message: t.reason}
		switch {
		case c.Baseline == nil:
		case rule == ruleUndecided && c.Baseline.Verdict == Unclear:
			f.since = diag.Known
		default:
			f.since = diag.New
		}
		t.findings = []finding{f}
	}
	switch {
	case c.Verdict == Incomplete:
		t.state = caseBroken
		say(ruleIncomplete, diag.LevelError)
	case asksForMore(c.Check):
		t.state = caseFailed
		say(ruleUndecided, diag.LevelError)
	case c.Verdict != Unclear:
	case c.OnUndecided == UndecidedPass:
		t.state = caseSkipped
		say(ruleUndecided, diag.LevelInfo)
	default:
		t.state = caseSkipped
		say(ruleUndecided, diag.LevelWarning)
	}
	return t
}
