package report

import (
	"fmt"
	"strings"
)

// markdown writes what was done, the hold-out figures and the epochs for a comment on a
// change, in GitHub's Markdown.
func (f *Fix) markdown(p *printer) {
	end := treatmentEnd{f}
	verdict := fmt.Sprintf("**%s** %s\n", f.Verdict, escaped(strings.Join(end.summary(), "; ")))
	p.printf("%s\n", verdict)
	treatmentItems(p, f.Model, f.Data, f.Recipe, f.Recipe.plan(f.stepsPerEpoch(), f.TrainedAt))
	markdownItem(p, "cost", f.costs()...)
	f.Search.markdown(p)
	p.printf("\n")
	markdownTable(p, f.holdoutTable(), 0, 3)
	p.printf("\n")
	for _, note := range f.holdoutNotes() {
		markdownItem(p, "note", note)
	}
	if rows := f.epochTable(); rows != nil {
		rows[0] = append(rows[0], "")
		for i, e := range f.Epochs {
			if e.Kept {
				rows[i+1] = append(rows[i+1], "◀ kept")
			}
		}
		p.printf("\n")
		markdownTable(p, rows, len(rows[0])-1)
		p.printf("\n")
	}
	markdownItem(p, "note", end.stoppedEarly())
	markdownItem(p, "note", f.Rate.note())
	if f.Output != nil {
		for _, note := range f.Output.notes() {
			markdownItem(p, "note", note)
		}
	}
	p.printf("\n%s", verdict)
}

// treatmentItems list the model, the data and the plan.
func treatmentItems(p *printer, m Model, d TreatmentData, r Recipe, plan []string) {
	markdownItem(p, "model", base(m.Path), fmt.Sprintf("%s, %s parameters", m.Family, count(m.Parameters)))
	markdownItem(p, "data", d.fields(r.trains())...)
	for _, note := range dataCautions(d.Skipped, d.AssumedOrder) {
		markdownItem(p, "note", note)
	}
	markdownItem(p, "plan", plan...)
}

// markdown writes what would be done, and what that would cost.
func (f *FixPlan) markdown(p *printer) {
	if f.Nothing != "" {
		p.printf("**%s** %s\n\n", Nothing, escaped(strings.Join(f.summary(), "; ")))
		treatmentItems(p, f.Model, f.Data, Recipe{}, nil)
		return
	}
	p.printf("**%s** %s\n\n", Planned, escaped(strings.Join(f.summary(), "; ")))
	treatmentItems(p, f.Model, f.Data, *f.Recipe, f.Recipe.plan(f.Cost.StepsPerEpoch, 0))
	if c := f.Cheapest; c != nil {
		markdownItem(p, "cheaper", c.text())
	}
	p.printf("\n")
	markdownTable(p, f.costTable(), 0)
}
