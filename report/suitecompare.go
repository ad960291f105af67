package report

import (
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// suites has a case for each recipe.
func (c *Compare) suites() []suite {
	s := suite{
		command: "compare", path: c.Model.Path, sha256: c.Model.SHA256, verdict: c.Verdict,
		summary: comparisonEnd{c}.summary(), exitCode: c.ExitCode, provenance: c.Provenance,
	}
	titles := c.table()[0]
	for i, row := range c.table()[2:] { // below the untreated checkpoint's
		s.cases = append(s.cases, recipeCase(&c.Rows[i], titles, row, c.Verdict))
	}
	return []suite{s}
}

// recipeCase is the case of a recipe, whose figures stand in a row below titles.
func recipeCase(r *CompareRow, titles, row []string, verdict Verdict) testCase {
	t := testCase{name: "recipe " + r.Recipe}
	switch {
	case r.Failed != "" && verdict == Fail:
		t.state = caseBroken
		t.findings = []finding{{rule: ruleRecipe, level: diag.LevelError, message: r.Recipe + ": " + string(r.Failed)}}
	case r.Failed != "":
		t.state, t.reason = caseSkipped, string(r.Failed)
		t.findings = []finding{{rule: ruleRecipe, level: diag.LevelWarning, message: r.Recipe + ": " + string(r.Failed)}}
	case len(r.Unfinished) > 0:
		t.state = caseBroken
		t.findings = []finding{{rule: ruleIncomplete, level: diag.LevelError, message: r.Recipe + ": cut short; of these seeds nothing is known: " + joined(r.Unfinished)}}
	default:
		var figures []string
		for j := 1; j < len(row); j++ {
			figures = append(figures, titles[j]+" "+row[j])
		}
		t.reason = strings.Join(figures, "; ")
	}
	return t
}
