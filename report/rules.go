package report

import (
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// Rules is the result of the command explain without a rule.
type Rules []diag.Rule

// Rule is the result of the command explain for one rule.
type Rule diag.Rule

// text lists the rules, a line each.
func (rules Rules) text(p *printer) {
	for _, r := range rules {
		p.printf("%s  %-14s  %s\n", r.ID, levels(r.Levels), r.Title)
	}
}

// text explains the rule.
func (r Rule) text(p *printer) {
	p.printf("%s  %s (%s)\n", r.ID, r.Title, levels(r.Levels))
	for _, part := range []struct{ title, text string }{
		{"What it means", r.Meaning},
		{"When it misleads", r.Misleads},
		{"What to do next", r.Remedy},
	} {
		p.printf("\n%s\n", part.title)
		for _, line := range Wrap(part.text, proseColumns-2) {
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
