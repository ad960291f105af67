package report

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/pol"
)

// FixPlan is what fix would do, from --dry-run.
type FixPlan struct {
	Document
	Model      Model         `json:"model"`
	Data       TreatmentData `json:"data"`
	Recipe     *Recipe       `json:"recipe"` // nil, as the cost is, where there is nothing to treat
	Cost       *Cost         `json:"cost"`
	Nothing    string        `json:"nothing_to_treat,omitempty"` // why; else empty
	Cheapest   *CheaperPlan  `json:"cheapest"`                   // nil where the plan itself is the cheapest
	Provenance Provenance    `json:"provenance"`
}

// CheaperPlan is a treatment that costs less than the one that was chosen, because it
// perturbs the classifier, as the recipe does unless it is told otherwise.
type CheaperPlan struct {
	Perturb []string `json:"perturb"` // names of layers
	Update  []string `json:"update"`
	Cost    Cost     `json:"cost"`
}

// Cost is what a plan is expected to take, by [NewCost].
type Cost struct {
	Neck           int         `json:"neck"`
	CacheBytes     int64       `json:"cache_bytes"`
	Where          string      `json:"where"` // none, memory, host or file
	Steps          int         `json:"steps"` // of all epochs
	SecondsPerStep float64     `json:"seconds_per_step"`
	ScanShare      float64     `json:"scan_share"`
	Seconds        CostSeconds `json:"seconds"`

	StepsPerEpoch int `json:"-"`
}

// CostSeconds are the parts of the time that a plan takes.
type CostSeconds struct {
	Cache      float64 `json:"cache"`
	Training   float64 `json:"training"`
	Validation float64 `json:"validation"`
	Holdout    float64 `json:"holdout"`
	Total      float64 `json:"total"`
}

// NewCost describes the cost of so many epochs.
func NewCost(c *pol.Cost, epochs int) Cost {
	kept := newKept(c.Cache)
	return Cost{
		Neck: c.Cache.Neck, CacheBytes: kept.Bytes, Where: kept.Where,
		Steps: c.Steps, StepsPerEpoch: c.Steps / max(epochs, 1), SecondsPerStep: c.StepTime.Seconds(), ScanShare: c.ScanShare,
		Seconds: CostSeconds{
			Cache:      c.CacheTime.Seconds(),
			Training:   (c.Choosing() + c.Training()).Seconds(),
			Validation: c.Validating(epochs).Seconds(),
			Holdout:    c.HoldoutTime.Seconds(),
			Total:      c.Total(epochs).Seconds(),
		},
	}
}

// text tells what would be done, and what that would cost, beside a cheaper plan
// if there is one.
func (f *FixPlan) text(p *printer) {
	p.model(f.Model, "")
	if f.Nothing != "" {
		f.Data.text(p, false)
		p.printf("\n")
		p.verdict(ansiYellow, string(Nothing), f.summary()...)
		return
	}
	f.Data.text(p, f.Recipe.trains())
	f.Recipe.text(p, f.Cost.StepsPerEpoch, 0)
	p.printf("\n")
	p.grid(f.costTable(), []int{0}, nil)
	p.printf("\n")
	p.verdict(ansiBold, string(Planned), f.summary()...)
	if c := f.Cheapest; c != nil {
		p.hint(c.text())
	}
}

// summary is what the line says that a log is searched for.
func (f *FixPlan) summary() []string {
	if f.Nothing != "" {
		return []string{base(f.Model.Path), f.Nothing, "exit status 1"}
	}
	return []string{base(f.Model.Path), "about " + duration(f.Cost.Seconds.Total), "nothing was done or written"}
}

// text says which flags make a treatment cheaper, and how cheap.
func (c *CheaperPlan) text() string {
	return fmt.Sprintf("%s makes it about %s", c.flags(), duration(c.Cost.Seconds.Total))
}

// costTable lists what a plan costs, part by part.
func (f *FixPlan) costTable() [][]string {
	rows := [][]string{{"estimate"}, {"activations kept"}, {"filling the cache"}, {"a step"}, {"of it, scans"}, {"training"}, {"validation"}, {"hold-out"}, {"total"}}
	add := func(title string, c Cost) {
		for i, cell := range []string{
			title, c.kept(), duration(c.Seconds.Cache), duration(c.SecondsPerStep), fmt.Sprintf("%.0f %%", 100*c.ScanShare),
			duration(c.Seconds.Training), duration(c.Seconds.Validation), duration(c.Seconds.Holdout), duration(c.Seconds.Total),
		} {
			rows[i] = append(rows[i], cell)
		}
	}
	add("this plan", *f.Cost)
	if c := f.Cheapest; c != nil {
		add("perturb "+briefly(c.Perturb), c.Cost)
	}
	if !f.Recipe.trains() {
		rows = append(rows[:3], rows[6:]...) // no steps
	} else if f.Recipe.rule() != pol.Search {
		rows = append(rows[:4], rows[5:]...)
	}
	return rows
}

// kept says how many bytes of activations are kept, and where.
func (c *Cost) kept() string {
	switch c.Where {
	case keptInFile:
		return size(c.CacheBytes) + " (file)"
	case keptOnHost:
		return size(c.CacheBytes) + " (host)"
	case keptInMemory:
		return size(c.CacheBytes)
	}
	return "none"
}

// flags are those of fix that make it follow the plan. By name the classifier would be
// perturbed too far.
func (c *CheaperPlan) flags() string {
	return "`--perturb auto --update " + shellWord(strings.Join(c.Update, ",")) + "`"
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
