package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/modeldoctor/modeldoctor/pol"
)

// FixPlanText writes a plan for a person: what would be done, and what that
// would cost, beside a cheaper plan if there is one.
func FixPlanText(w io.Writer, f *FixPlan, style Style) error {
	p := &printer{w: w, style: style}
	p.model(f.Model, "")
	p.treatmentData(f.Data, f.Treatment.trains())
	epochs := f.Treatment.Options.Epochs
	steps := 0
	if epochs > 0 {
		steps = f.Cost.Steps / epochs
	}
	p.treatmentPlan(f.Treatment, steps, nil)
	p.printf("\n")
	p.costs(f)
	p.printf("\n")
	total := f.Cost.Total(epochs).Seconds()
	p.paintedFields(style.paint(ansiBold, "PLAN")+"  ", len("PLAN  "), base(f.Model.Path), "about "+duration(total), "nothing was done or written")
	if c := f.Cheapest; c != nil {
		p.hint(fmt.Sprintf("%s makes it about %s", c.flags(), duration(c.Cost.Total(epochs).Seconds())))
	}
	return p.err
}

// costs prints what a plan costs, part by part.
func (p *printer) costs(f *FixPlan) {
	type column struct {
		title string
		cost  *pol.Cost
	}
	columns := []column{{"this plan", &f.Cost}}
	if c := f.Cheapest; c != nil {
		columns = append(columns, column{c.title(), &c.Cost})
	}
	epochs := f.Treatment.Options.Epochs
	rows := [][]string{{"estimate"}, {"activations kept"}, {"filling the cache"}, {"a step"}, {"of it, scans"}, {"training"}, {"validation"}, {"hold-out"}, {"total"}}
	for _, c := range columns {
		s := costSeconds(c.cost, epochs)
		kept := "none"
		switch cacheWhere(c.cost.CacheBytes, c.cost.CacheInFile) {
		case cacheFile:
			kept = size(c.cost.CacheBytes) + " (file)"
		case cacheMemory:
			kept = size(c.cost.CacheBytes)
		}
		for i, cell := range []string{
			c.title, kept, duration(s.Cache), duration(c.cost.StepTime.Seconds()), fmt.Sprintf("%.0f %%", 100*c.cost.ScanShare),
			duration(s.Training), duration(s.Validation), duration(s.Holdout), duration(s.Total),
		} {
			rows[i] = append(rows[i], cell)
		}
	}
	if !f.Treatment.trains() {
		rows = append(rows[:3], rows[6:]...) // no steps
	} else if f.Treatment.rule() != pol.Search {
		rows = append(rows[:4], rows[5:]...)
	}
	p.grid(rows, []int{0}, nil)
}

// title names a cheaper plan in the head of a table.
func (c *CheaperPlan) title() string {
	return "perturb " + briefly(treatedNames(c.Perturb))
}

// flags are those of fix that make it follow the plan.
func (c *CheaperPlan) flags() string {
	var flags []string
	for _, role := range []struct {
		flag   string
		layers []TreatedLayer
	}{{"--perturb", c.Perturb}, {"--update", c.Update}} {
		if len(role.layers) > 0 {
			flags = append(flags, role.flag+" "+shellWord(strings.Join(treatedNames(role.layers), ",")))
		}
	}
	return "`" + strings.Join(flags, " ") + "`"
}

// briefly names a few layers one by one, and many by their ends.
func briefly(names []string) string {
	switch n := len(names); {
	case n == 0:
		return "–"
	case n > maxTreated:
		return printable(names[0] + " to " + names[n-1])
	}
	return printable(strings.Join(names, ", "))
}
