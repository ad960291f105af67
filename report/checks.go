package report

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/report/chart"
)

// Checks is the result of the command check for several models.
type Checks struct {
	Document
	Models   []CheckedModel `json:"models"`    // in the order in which they were named
	ExitCode int            `json:"exit_code"` // the highest of the models'
}

// CheckedModel is one of several models: a check, or the reason why there is none.
type CheckedModel struct {
	Path  string `json:"path"`
	Check *Check `json:"check,omitempty"` // nil where the model could not be diagnosed
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Unfinished says that the time limit or an interruption came before there was a check.
	Unfinished bool `json:"unfinished,omitempty"`
	ExitCode   int  `json:"exit_code"` // that it would have alone
}

// Summary counts the models by what became of them.
func (c *Checks) Summary() string {
	counts := map[string]int{}
	for i := range c.Models {
		counts[c.Models[i].word()]++
	}
	var parts []string
	for _, word := range []string{errorWord, string(Incomplete), string(Fail), string(Unclear), string(Pass)} {
		if n := counts[word]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	return fmt.Sprintf("%s: %s", plural(len(c.Models), "model"), strings.Join(parts, ", "))
}

// errorWord stands in a list of verdicts for a model without one.
const errorWord = "ERROR"

// word is the verdict; of a model without a check INCOMPLETE, or errorWord.
func (m *CheckedModel) word() string {
	switch {
	case m.Check != nil:
		return string(m.Check.Verdict)
	case m.Unfinished:
		return string(Incomplete)
	}
	return errorWord
}

// color is that of the word.
func (m *CheckedModel) color() string {
	switch {
	case m.Check != nil:
		return conclusion{m.Check}.color()
	case m.Unfinished:
		return ansiYellow
	}
	return ansiRed
}

// text tells of each model what its own report would, and at the end the verdicts of
// all, one a line.
func (c *Checks) text(p *printer) {
	for _, m := range c.Models {
		if m.Check != nil {
			m.Check.text(p)
		} else {
			p.verdict(m.color(), m.word(), printable(m.Error))
			if m.Hint != "" {
				p.hint(printable(m.Hint))
			}
		}
		p.printf("\n%s\n\n", p.style.paint(ansiDim, strings.Repeat("─", min(proseColumns, p.style.width()))))
	}
	for _, m := range c.Models {
		if m.Check == nil {
			p.verdict(m.color(), m.word(), printable(m.Path), fmt.Sprintf("exit status %d", m.ExitCode))
			continue
		}
		end := conclusion{m.Check}
		p.verdict(end.color(), string(m.Check.Verdict), append([]string{printable(m.Path)}, end.summary()[1:]...)...)
	}
	p.printf("%s, exit status %d\n", c.Summary(), c.ExitCode)
}

// markdown writes each model's verdict, figures and layers under a heading.
func (c *Checks) markdown(p *printer) {
	for _, m := range c.Models {
		p.printf("### %s\n\n", escaped(m.Path))
		if m.Check != nil {
			m.Check.markdown(p)
		} else {
			p.printf("**%s** %s\n", m.word(), escaped(m.Error))
			if m.Hint != "" {
				p.printf("\n- hint: %s\n", escaped(m.Hint))
			}
		}
		p.printf("\n")
	}
	p.printf("**%s**, exit status %d\n", escaped(c.Summary()), c.ExitCode)
}

// suites are those of all models; one that could not be diagnosed has a single case.
func (c *Checks) suites() []suite {
	var all []suite
	for _, m := range c.Models {
		if m.Check != nil {
			all = append(all, m.Check.suites()...)
			continue
		}
		t := testCase{name: "the model can be diagnosed", state: caseBroken, reason: m.Error}
		rule := ruleUnreadable
		if m.Unfinished {
			rule = ruleIncomplete
		}
		t.findings = []finding{{rule: rule, level: diag.LevelError, message: m.Error}}
		all = append(all, suite{command: "check", path: m.Path, verdict: Incomplete, summary: []string{base(m.Path), m.Error}, exitCode: m.ExitCode, cases: []testCase{t}})
	}
	return all
}

// checksPage lists the models with their verdicts, and the rules that each breaches.
func checksPage(c *Checks) *page {
	p := &page{Title: plural(len(c.Models), "model"), Verdict: fmt.Sprintf("exit status %d", c.ExitCode), Tone: toneBad, Basis: []string{c.Summary()}}
	if c.ExitCode == 0 {
		p.Tone = toneGood
	}
	table := pageTable{Caption: "Models", Head: []string{"model", "verdict", "why"}}
	for _, m := range c.Models {
		why := printable(m.Error)
		if m.Check != nil {
			why = strings.Join(conclusion{m.Check}.basis(), "; ")
			for _, rule := range pageRules(m.Check) {
				rule.Text = printable(m.Path) + ": " + rule.Text
				p.Rules = append(p.Rules, rule)
			}
		}
		table.Rows = append(table.Rows, textCells([]string{printable(m.Path), m.word(), why}))
	}
	p.Tables = []pageTable{table}
	return p
}

// charts are those of each model, by its number in the report.
func (c *Checks) charts() []*chart.Chart {
	var all []*chart.Chart
	for i, m := range c.Models {
		if m.Check == nil {
			continue
		}
		for _, one := range checkCharts(m.Check) {
			one.Name = fmt.Sprintf("model-%03d-%s", i, one.Name)
			one.Title = printable(m.Path) + ": " + one.Title
			all = append(all, one)
		}
	}
	return all
}
