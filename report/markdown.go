package report

import (
	"fmt"
	"io"
	"strings"
)

func init() {
	register(format{
		name: "markdown",
		has:  has[inMarkdown],
		write: func(w io.Writer, r Result, _ Style) error {
			p := &printer{w: w}
			r.(inMarkdown).markdown(p)
			return p.err
		},
	})
}

// inMarkdown is a result that can be written for a comment on GitHub.
type inMarkdown interface{ markdown(p *printer) }

// markdown writes the recipes as a table in GitHub's Markdown.
func (c *Compare) markdown(p *printer) {
	part := func(part Part) string { return fmt.Sprintf("%s, %s", part.Name, plural(part.N, "image")) }
	p.printf("**%s**: %s, %s parameters. Data: %s (training: %s; validation: %s; hold-out: %s).\n\n", escaped(base(c.Model.Path)),
		escaped(c.Model.Family), count(c.Model.Parameters), escaped(c.Data.Name), escaped(part(c.Data.Train)), escaped(part(c.Data.Validation)), escaped(part(c.Data.Holdout)))
	for i, row := range c.table() {
		for j, cell := range row {
			row[j] = escaped(cell)
		}
		p.printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			p.printf("|---|---|%s\n", strings.Repeat("---:|", len(row)-2))
		}
	}
	if rows := c.differences(); len(rows) > 1 {
		for i, row := range rows {
			for j, cell := range row {
				row[j] = escaped(cell)
			}
			if i == 0 {
				p.printf("\n| %s |\n|---|---:|---|---:|---|---:|\n", strings.Join(row, " | "))
				continue
			}
			p.printf("| %s |\n", strings.Join(row, " | "))
		}
		p.printf("\n%s\n", escaped(c.aboutDifferences()))
	}
	notes := c.notes()
	if len(notes) > 0 {
		p.printf("\n")
	}
	for _, note := range notes {
		p.printf("- %s\n", escaped(note))
	}
}

// escaped is text written so that none of it is taken for markup.
func escaped(text string) string {
	var out strings.Builder
	for _, r := range printable(text) {
		if strings.ContainsRune("\\`*_|<>[]#&~", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
