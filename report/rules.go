package report

import (
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// Topics is the result of the command explain without a topic.
type Topics struct {
	Rules []diag.Rule
	Terms []diag.Term
}

// Rule is the result of the command explain for one rule.
type Rule diag.Rule

// Term is the result of the command explain for a figure or a word of a report.
type Term diag.Term

// text lists the topics.
func (t Topics) text(p *printer) {
	rows := [][]string{{"rule", "levels", ""}}
	for _, r := range t.Rules {
		rows = append(rows, []string{r.ID, levels(r.Levels), r.Title})
	}
	p.list(rows)
	rows = [][]string{{"figure", ""}}
	for _, term := range t.Terms {
		rows = append(rows, []string{term.Name, term.Title})
	}
	if len(t.Rules) > 0 && len(t.Terms) > 0 {
		p.printf("\n")
	}
	p.list(rows)
}

// list prints rows below their titles, aligned to the left; the last cell of
// each is prose. Titles without rows are left out.
func (p *printer) list(rows [][]string) {
	if len(rows) < 2 {
		return
	}
	last := len(rows[0]) - 1
	var left []int
	heads := make([][]string, len(rows))
	for i, row := range rows {
		heads[i] = row[:last]
	}
	for j := range last {
		left = append(left, j)
	}
	for i, head := range aligned(heads, left) {
		if i == 0 {
			p.printf("%s\n", p.style.paint(ansiDim, strings.TrimRight(head, " ")))
			continue
		}
		p.hanging(head, columns(head), rows[i][last])
	}
}

// text explains the rule.
func (r Rule) text(p *printer) {
	p.explain(r.ID, r.Title+" ("+levels(r.Levels)+")", r.Meaning, r.Misleads, r.Remedy)
}

// text explains the term.
func (t Term) text(p *printer) {
	p.explain(t.Name, t.Title, t.Meaning, t.Misleads, t.Remedy)
}

// explain prints what something means, when it misleads and what to do next.
func (p *printer) explain(name, title, meaning, misleads, remedy string) {
	p.hanging(name+"  ", columns(name)+2, title)
	for _, part := range []struct{ title, text string }{
		{"What it means", meaning},
		{"When it misleads", misleads},
		{"What to do next", remedy},
	} {
		p.printf("\n%s\n", part.title)
		for _, line := range Wrap(part.text, min(proseColumns, p.style.width())-2) {
			p.printf("  %s\n", line)
		}
	}
}

func levels(list []diag.Level) string {
	names := make([]string, len(list))
	for i, l := range list {
		names[i] = string(l)
	}
	return strings.Join(names, ", ")
}
