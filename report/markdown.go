package report

import (
	"fmt"
	"io"
	"slices"
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
	p.printf("**%s** %s\n\n", c.Verdict, escaped(strings.Join(comparisonEnd{c}.summary(), "; ")))
	p.printf("**%s**: %s, %s parameters. Data: %s (training: %s; validation: %s; hold-out: %s).\n\n", escaped(base(c.Model.Path)),
		escaped(c.Model.Family), count(c.Model.Parameters), escaped(c.Data.Name), escaped(part(c.Data.Train)), escaped(part(c.Data.Validation)), escaped(part(c.Data.Holdout)))
	markdownTable(p, c.table(), 0, compareLayers)
	if rows := c.differences(); len(rows) > 1 {
		p.printf("\n")
		markdownTable(p, rows, 0, 2, 4)
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

// markdownTable writes rows of cells below their titles, which are the first row.
// Columns are aligned to the right but for those in left. A row may be shorter than
// the first.
func markdownTable(p *printer, rows [][]string, left ...int) {
	for i, row := range rows {
		cells := make([]string, len(rows[0]))
		for j, cell := range row {
			cells[j] = escaped(cell)
		}
		p.printf("| %s |\n", strings.Join(cells, " | "))
		if i > 0 {
			continue
		}
		p.printf("|")
		for j := range cells {
			if slices.Contains(left, j) {
				p.printf("---|")
			} else {
				p.printf("---:|")
			}
		}
		p.printf("\n")
	}
}

// markdownItem writes a line of a list, unless nothing is to be said.
func markdownItem(p *printer, title string, fields ...string) {
	if text := strings.Join(fields, "; "); text != "" {
		p.printf("- %s: %s\n", title, escaped(text))
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
