package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// defaultBudget is what a diagnosis on a processor may take where nobody says how much it is
// to do: half of the hour after which hosted CI ends a job by default
// (https://docs.gitlab.com/ci/pipelines/settings/#set-a-limit-for-how-long-jobs-can-run),
// which has more to do than this.
const defaultBudget = 30 * time.Minute

// Shares of a budget.
const (
	plannedShare  = 0.85 // that a plan spends; the rest is for what takes longer than expected
	patienceShare = 0.02 // a first batch that took less is measured again, when all is compiled
)

func budgetFlag() cli.Flag {
	return &cli.DurationFlag{
		Name: "budget", EnvVars: env("budget"), Category: categoryRun, Value: defaultBudget,
		Usage:       "`TIME` that each model may take, such as 10m: the speed of one batch decides on how many images (at most --samples) and how many layers (--race) are searched, and the report says how many. When the time is over the verdict rests on what there is by then. 0: all it takes",
		DefaultText: "30m on a processor without --samples, --race, --timeout, --shard and --with-raw, else 0",
	}
}

// budget is the time that each model may take.
type budget struct {
	time      time.Duration // 0: any
	byDefault bool          // nobody has set it
}

// readRace reads --race and a --budget that was set.
func readRace(c *cli.Context) (*diag.Race, budget, error) {
	var set budget
	if c.IsSet("budget") {
		set.time = c.Duration("budget")
	}
	switch k := c.Int("race"); {
	case set.time < 0:
		return nil, set, usage("--budget: %v is not a time", set.time).withHint("such as 90s or 10m; 0 sets no limit")
	case !c.IsSet("race"):
		return nil, set, nil
	case k < 1:
		return nil, set, usage("--race: %d is less than 1", k).withHint("without it all layers are searched")
	case set.time > 0:
		return nil, set, usage("--race and --budget are both given").withHint("a budget decides how many layers are searched; to repeat what it decided, give the flags that the report names, without --budget")
	default:
		return &diag.Race{Layers: k}, set, nil
	}
}

// limitByDefault sets a budget unless something says how much is to be done, or for how
// long.
func (o *checkOptions) limitByDefault(c *cli.Context) {
	if !c.IsSet("budget") && !c.IsSet("timeout") && o.data.samples == 0 && o.diag.Race == nil && o.shard.count == 0 && !o.raw {
		o.budget = budget{defaultBudget, true}
	}
}

// spending is how the time of one model is spent.
type spending struct {
	ctx    context.Context // ends when the budget does
	outer  context.Context // ends with --timeout
	start  time.Time
	budget budget
	con    *console
	racing bool // the plan has layers race

	// What ranking has taken so far tells how fast searches will be.
	phase       string
	since       time.Time
	from, done  int // of the phase, in the unit of progress
	ranked      time.Duration
	rankedUnits int
}

// newSpending begins to spend what the options allow. The time counts from start.
func newSpending(ctx context.Context, opt checkOptions, onGPU bool, start time.Time) (*spending, context.CancelFunc) {
	s := &spending{ctx: ctx, outer: ctx, start: start, budget: opt.budget, con: opt.run.console}
	if s.budget.byDefault && onGPU {
		s.budget = budget{}
	}
	stop := func() {}
	if s.budget.time > 0 {
		s.ctx, stop = context.WithDeadline(ctx, start.Add(s.budget.time))
	}
	return s, stop
}

// left is the time that may still be planned with.
func (s *spending) left() time.Duration {
	return time.Duration(plannedShare*float64(s.budget.time)) - time.Since(s.start)
}

// over reports whether an error is the end of the budget, and not of --timeout.
func (s *spending) over(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && s.outer.Err() == nil
}

// early is an error before anything was diagnosed.
func (s *spending) early(err error) error {
	if !s.over(err) {
		return err
	}
	return &failure{code: exitTimeout, msg: "the budget was spent before any layer could be measured; there is nothing to report", hint: "give a larger --budget, or name the preprocessing (--preprocess): to find it takes many images", err: err}
}

// plan measures the model's speed and decides what the budget is spent on: the number
// of images, and whether layers have to race.
func (s *spending) plan(m *loaded, opt *checkOptions, layers []graph.Layer) error {
	if s.budget.time == 0 {
		return nil
	}
	err := s.planned(m, opt, layers)
	if err != nil && s.budget.byDefault {
		s.lift() // the diagnosis meets what is wrong, and all of it
		return nil
	}
	return err
}

// lift is as if there were no budget.
func (s *spending) lift() { s.budget, s.ctx = budget{}, s.outer }

// planned is plan with a budget.
func (s *spending) planned(m *loaded, opt *checkOptions, layers []graph.Layer) error {
	pilot := opt.data
	pilot.samples = m.runner.Batch()
	some, err := drawValidation(s.ctx, pilot, m, false, s.con)
	if err != nil {
		return s.early(err)
	}
	preprocess, before, err := examples.FirstRound(m.network.Input, opt.data.ofPreprocess())
	if err != nil {
		return err
	}
	given, err := givenPreprocess(opt.data, m, s.con)
	if err != nil {
		return err
	}
	if given != nil {
		preprocess, before = *given, 0
	}
	batch, options := examples.New(some.validation, preprocess, m.network.Input), opt.diag
	if opt.data.train != nil {
		options.Training = batch // that there are some is what counts
	}
	options.Memory, _ = m.memory(options.Memory, m.roomOfDiagnosis(diagLayers(layers), options))
	patience := time.Duration(patienceShare * float64(s.budget.time))
	if s.budget.byDefault {
		patience = 0 // where it matters batches take seconds, and a first one is hardly slower
	}
	pace, err := diag.MeasurePace(s.ctx, m.runner, batch, diagLayers(layers), options, patience)
	if err != nil {
		return s.early(err)
	}
	if !m.network.LinearLogits() {
		before += scoredImages
	}
	n := some.available
	if opt.data.samples > 0 {
		n = min(n, opt.data.samples)
	}
	left := s.left() - time.Duration(before)*pace.Forward/time.Duration(pace.Batch)
	plan := pace.Plan(m.runner, diagLayers(layers), n, options, left)
	if s.budget.byDefault {
		if plan.Examples == n && !plan.Race {
			s.lift() // however long it takes in the end
			return nil
		}
		all := pace.Plan(m.runner, diagLayers(layers), n, options, math.MaxInt64)
		s.con.warn("all layers and images would take about %v: by default a model has %v on a processor; --budget 0 takes the time, --budget TIME another", all.Expected.Round(time.Minute), s.budget.time)
	}
	if plan.Examples < n {
		opt.data.samples = plan.Examples
	}
	searches := "all layers are searched"
	if s.racing = plan.Race; plan.Race {
		opt.diag.Race = &diag.Race{Layers: plan.Layers, Afford: s.afford}
		searches = fmt.Sprintf("the layers race, and about %d of %d are searched", plan.Layers, diag.Measurable(diagLayers(layers)))
	}
	planned := time.Duration(plannedShare * float64(s.budget.time))
	expected := planned - left + plan.Expected // with what was spent, or will be before the diagnosis
	s.say("plan: %d of %d images; %s; about %v of %v", plan.Examples, some.available, searches, expected.Round(time.Second), s.budget.time)
	if expected > planned {
		s.con.warn("the budget of %v is too small for the least that makes sense, about %v: what is measured by then is reported", s.budget.time, time.Duration(float64(expected)/plannedShare).Round(time.Second))
	}
	return nil
}

// progress shows how far a diagnosis is, and takes the time of ranking.
func (s *spending) progress(phase string, done, total int) {
	if now := time.Now(); phase != s.phase {
		if strings.HasSuffix(s.phase, " "+diag.PhaseRanking) { // behind its number
			s.ranked, s.rankedUnits = s.ranked+now.Sub(s.since), s.rankedUnits+done-s.from
		}
		s.phase, s.since, s.from = phase, now, done
	}
	s.done = done
	s.con.progress(phase, done, total)
}

// afford is how many layers there is time to search; see [diag.Race].
func (s *spending) afford(costs []int) int {
	s.progress("", s.done, 0) // ends the ranking
	searched, left := 0, float64(s.left())*float64(s.rankedUnits)/max(float64(s.ranked), 1)
	for searched < len(costs) && float64(costs[searched]) <= left {
		searched++
	}
	searched = max(searched, 1)
	s.say("plan: %d of %d layers are searched", searched, len(costs))
	return searched
}

// say tells the user something unless no progress is to be told of.
func (s *spending) say(format string, args ...any) {
	if s.con.quiet {
		return
	}
	s.con.finish()
	s.con.say(format, args...)
}

// report says what was planned and done, where that is less than all, or a budget
// decided on it; nil otherwise.
func (s *spending) report(d *diag.Report, stopped error, data images, samples, layers int) *report.Plan {
	if s.budget.time == 0 && d.Race == nil {
		return nil
	}
	plan := &report.Plan{Images: data.available, Available: data.available, Searched: layers, Layers: layers, Spent: s.over(stopped)}
	if samples > 0 {
		plan.Images = min(samples, data.available)
	}
	if s.budget.time > 0 {
		seconds := s.budget.time.Seconds()
		plan.Budget, plan.ByDefault = &seconds, s.budget.byDefault
	}
	var flags []string
	if plan.Images < plan.Available {
		flags = append(flags, fmt.Sprintf("--samples %d", plan.Images))
	}
	switch r := d.Race; {
	case r != nil:
		plan.Searched, plan.Layers = r.Searched, r.Candidates
		flags = append(flags, fmt.Sprintf("--race %d", r.Searched))
	case plan.Spent && s.racing:
		plan.Searched = 0
		return plan // no layers were chosen, so no flags say as much
	}
	plan.Flags = strings.Join(flags, " ")
	return plan
}
