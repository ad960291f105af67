package diag

import (
	"cmp"
	glob "path"
	"slices"
	"time"
)

// A RuleSetting changes how a rule is reported.
type RuleSetting struct {
	Level     Level   // that its violations have, whatever it would be; empty: as the rule says
	Threshold float64 // in place of Rule.Threshold; 0: as it is
}

// A Suppression is a breach that is accepted for now: it is reported, and counts
// for no verdict.
type Suppression struct {
	Rule   string // ID of a rule
	Layer  string // pattern of [path.Match] for the layer; empty: any, and the model as a whole
	Reason string
	Until  time.Time // the last day on which it holds; zero: for ever
	// Matches is the number of violations and of open tests, such as an undecided
	// layer's, that it waives.
	Matches int
}

// Covers reports whether a breach of a rule in a layer is accepted; layer is empty
// for the model as a whole.
func (s *Suppression) Covers(rule, layer string) bool {
	if s.Rule != rule || s.Layer == "" {
		return s.Rule == rule
	}
	matched, err := glob.Match(s.Layer, layer)
	return err == nil && matched && layer != ""
}

// setLevels gives violations the levels that were asked for.
func (v violations) setLevels(rules map[string]RuleSetting) {
	for i := range v {
		if s := rules[v[i].Rule]; s.Level != "" {
			v[i].Level = s.Level
		}
	}
}

// suppress marks the violations that are accepted, and returns the tests without
// those that are. Each suppression counts what it waives; the first that covers a
// breach does.
func (v violations) suppress(list []Suppression, tests []test) []test {
	first := func(rule, layer string) *Suppression {
		if i := slices.IndexFunc(list, func(s Suppression) bool { return s.Covers(rule, layer) }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	for i := range v {
		if s := first(v[i].Rule, v[i].Layer); s != nil {
			s.Matches++
			v[i].Suppressed = s.Reason
		}
	}
	return slices.DeleteFunc(tests, func(t test) bool {
		s := first(t.rule, t.layer)
		if s != nil && t.decision.Verdict == Undecided {
			s.Matches++ // a test that is over has a violation, which counts
		}
		return s != nil && t.decision.Verdict != Under
	})
}

// threshold is the share from which a rule is breached.
func (o *Options) threshold(rule string) float64 {
	if t := o.Rules[rule].Threshold; t > 0 {
		return t
	}
	found, _ := ExplainRule(rule)
	if rule == RuleRecoverableLoss || rule == RuleTemperature {
		return cmp.Or(o.Threshold, found.Threshold)
	}
	return found.Threshold
}
