package report

import (
	"io"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// RulesText lists the rules, a line each.
func RulesText(w io.Writer, rules []diag.Rule) error {
	p := &printer{w: w}
	for _, r := range rules {
		p.printf("%s  %-14s  %s\n", r.ID, levels(r), r.Title)
	}
	return p.err
}

// RuleText explains one rule.
func RuleText(w io.Writer, r diag.Rule) error {
	p := &printer{w: w}
	p.printf("%s  %s (%s)\n", r.ID, r.Title, levels(r))
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
	return p.err
}

func levels(r diag.Rule) string {
	names := make([]string, len(r.Levels))
	for i, l := range r.Levels {
		names[i] = string(l)
	}
	return strings.Join(names, ", ")
}
