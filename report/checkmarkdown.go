package report

import (
	"fmt"
	"strings"
)

// markdown writes the verdict, the figures and the layers for a comment on a
// change, in GitHub's Markdown.
func (c *Check) markdown(p *printer) {
	end, table := conclusion{c}, layerTable{c}
	p.printf("**%s** %s\n\n", c.Verdict, escaped(strings.Join(end.basis(), "; ")))
	item := func(title string, fields ...string) {
		p.printf("- %s: %s\n", title, escaped(strings.Join(fields, "; ")))
	}
	item("model", base(c.Model.Path), fmt.Sprintf("%s, %s parameters, %s", c.Model.Family, count(c.Model.Parameters), analysed(c)))
	item("data", dataFields(c)...)
	if c.Plan != nil {
		item("plan", c.Plan.fields()...)
	}
	item("loss", lossFields(c)...)
	if t := c.Metrics.Temperature; t != nil {
		item("temperature", temperatureText(c, t))
	}
	for _, note := range append(dataCautions(c.Data.Skipped, c.Data.AssumedOrder), measurementNotes(c)...) {
		item("note", note)
	}
	p.printf("\n")
	list := table.columns(0, full)
	rows := table.rows(list)
	for i, row := range rows {
		for len(row) < len(list) {
			row = append(row, "")
		}
		if i > 0 {
			row = append(row, table.marks(Style{}, &c.Layers[i-1]))
		}
		for j, cell := range row {
			row[j] = escaped(strings.TrimSpace(cell))
		}
		p.printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			p.printf("|---|%s---|\n", strings.Repeat("---:|", len(list)-1))
		}
	}
	p.printf("\n")
	for _, note := range table.notes() {
		p.printf("- %s\n", escaped(note))
	}
	for _, group := range groupViolations(c.Violations, c.Worst.ByTransfer) {
		p.printf("- **%s** %s: %s\n", group[0].Rule, group[0].Level, escaped(groupText(group)))
	}
	p.printf("\n**%s** %s\n", c.Verdict, escaped(strings.Join(end.summary(), "; ")))
}
