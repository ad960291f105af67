package report

import (
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/pol"
)

// suites has a case for each condition of acceptance.
func (f *Fix) suites() []suite {
	end := treatmentEnd{f}
	s := suite{
		command: "fix", path: f.Model.Path, sha256: f.Model.SHA256, verdict: f.Verdict,
		summary: end.summary(), exitCode: f.ExitCode, provenance: f.Provenance,
	}
	goal, _ := pol.ParseGoal(f.Recipe.Hyperparameters.Goal)
	untreated, rest := slices.Contains(f.Objections, pol.NoTreatedModel), slices.Clone(f.Objections)
	for _, rule := range fixRules {
		o := pol.Objection(rule.id)
		t := testCase{name: "objection: " + rule.title}
		switch holds := slices.Contains(f.Objections, o); {
		case holds:
			t = end.objection(t, o)
			rest = slices.DeleteFunc(rest, func(r pol.Objection) bool { return r == o })
		case untreated:
			t.state, t.reason = caseSkipped, "there is no treated model"
		case !goal.Asks(o), o == pol.NoTemperature && f.Recipe.trains(), o == pol.NotBeyondTemperature && f.Beyond == nil:
			continue // no condition of this treatment
		}
		s.cases = append(s.cases, t)
	}
	for _, o := range rest { // none may be lost
		s.cases = append(s.cases, end.objection(testCase{name: "objection: " + string(o)}, o))
	}
	return []suite{s}
}

// objection is the case of a condition that is not met.
func (f treatmentEnd) objection(t testCase, o pol.Objection) testCase {
	finding := finding{rule: string(o), level: diag.LevelError, message: f.reason(o)}
	if len(f.Recipe.Update) == 1 {
		finding.layer = f.Recipe.Update[0]
	}
	switch {
	case f.Verdict == Forced:
		finding.level = diag.LevelWarning
		t.state, t.reason = caseSkipped, "the file is written all the same, as --force demands: "+finding.message
	case o == pol.NoTreatedModel:
		t.state = caseBroken
	default:
		t.state = caseFailed
	}
	t.findings = append(t.findings, finding)
	return t
}

// suites has one case, of which nothing is known yet.
func (f *FixPlan) suites() []suite {
	if f.Nothing != "" {
		return []suite{{
			command: "fix", path: f.Model.Path, sha256: f.Model.SHA256, verdict: Nothing,
			summary: f.summary(), exitCode: 1, provenance: f.Provenance,
			cases: []testCase{{name: "treatment", state: caseBroken, findings: []finding{{rule: string(pol.NoTreatedModel), level: diag.LevelError, message: f.Nothing}}}},
		}}
	}
	return []suite{{
		command: "fix", path: f.Model.Path, sha256: f.Model.SHA256, verdict: Planned,
		summary: f.summary(), provenance: f.Provenance,
		cases: []testCase{{name: "treatment " + f.Recipe.Name, state: caseSkipped, reason: strings.Join(f.summary(), "; ")}},
	}}
}
