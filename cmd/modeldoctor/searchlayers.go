package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// Defaults of a search for layers. The epochs are those of the last round: a power of
// two, so that they double from one.
const (
	searchCandidates = 12
	searchEpochs     = 4
)

// searchFlags say how the layers are searched for.
func searchFlags() []cli.Flag {
	return []cli.Flag{
		boolFlag(categoryMethod, "search-layers", fmt.Sprintf("try several layers to perturb and to train, of blocks and modules (or of --granularity, where it is given), and treat with those that are best: all are trained for a short time, the half with the lower validation loss for twice as long, and so on up to --epochs, by default %d; the hold-out images judge the last one only", searchEpochs)),
		&cli.IntFlag{Name: "search-candidates", Value: searchCandidates, Usage: "`N` pairs of layers that --search-layers begins with", EnvVars: env("search-candidates"), Category: categoryMethod},
	}
}

// layerSearch are the flags of a search for layers.
type layerSearch struct {
	candidates    int // 0: there is no search
	granularities []graph.Granularity
}

// readLayerSearch reads the flags of searchFlags, and sets what a search has by default.
func readLayerSearch(c *cli.Context, opt *treatmentOptions) (layerSearch, error) {
	n := c.Int("search-candidates")
	switch {
	case !c.Bool("search-layers") && onCommandLine(c, "search-candidates"):
		return layerSearch{}, usage("--search-candidates has no effect without --search-layers").withHint("add --search-layers, or leave it out")
	case !c.Bool("search-layers"):
		return layerSearch{}, nil
	case n < 2:
		return layerSearch{}, usage("--search-candidates: %d leaves nothing to choose", n).withHint("give 2 or more")
	case opt.recipe.Name != "pol":
		return layerSearch{}, usage("--search-layers: the layers of recipe %s are not to be chosen", opt.recipe.Name).withHint("leave it out, or choose --recipe pol")
	}
	for _, name := range []string{"perturb", "update", "from"} {
		if c.IsSet(name) {
			return layerSearch{}, usage("--search-layers and --%s exclude each other: the search measures and chooses the layers itself", name)
		}
	}
	if c.Int("epochs") == 0 {
		opt.training.Epochs = searchEpochs
	}
	// A candidate is what its layers are by name.
	opt.training.GammaMax = cmp.Or(c.Float64("gamma-max"), pol.DefaultGammaMax)
	s := layerSearch{candidates: n, granularities: []graph.Granularity{graph.ByBlock, graph.ByModule}}
	if c.IsSet("granularity") {
		s.granularities = []graph.Granularity{opt.granularity}
	}
	return s, nil
}

// searcher searches for the layers of a subject.
type searcher struct {
	*treatment // of no layer yet
	opt        fixOptions
	steps      int // of an epoch
}

// searchLayers finds the layers by a search.
func searchLayers(ctx context.Context, s *subject, opt fixOptions) (chosenPlan, *pol.LayerSearch, error) {
	w, err := newSearcher(s, opt)
	if err != nil {
		return chosenPlan{}, nil, err
	}
	search, err := w.open(ctx)
	if err != nil {
		return chosenPlan{}, nil, err
	}
	if err := w.tryTarget(search.Candidates[0]); err != nil {
		return chosenPlan{}, nil, err
	}
	if err := w.run(ctx, search); err != nil {
		return chosenPlan{}, nil, err
	}
	opt.run.console.finish()
	winner := search.Winner()
	if winner < 0 {
		return chosenPlan{}, nil, &failure{code: exitFailed, err: errors.New("the training of every candidate has diverged"), hint: "nothing was written; give a lower --lr, or leave it out: the rate then comes from the model"}
	}
	return chosenPlan{plan: search.Candidates[winner].Plan(opt.recipe)}, search, nil
}

// newSearcher has all that a search needs but the candidates.
func newSearcher(s *subject, opt fixOptions) (*searcher, error) {
	none, err := prepare(s, chosenPlan{plan: pol.Plan{Recipe: opt.recipe}}, opt.treatmentOptions)
	if err != nil {
		return nil, err
	}
	return &searcher{none, opt, s.train.Images() / opt.training.Batch}, nil
}

// open begins the search, or goes on with the one that --resume names.
func (w *searcher) open(ctx context.Context) (*pol.LayerSearch, error) {
	options := w.options
	var err error
	if options.Identity, err = w.identity(w.opt.model.NoFuse); err != nil {
		return nil, err
	}
	options.Identity["search"] = fmt.Sprint(w.opt.search.candidates, w.opt.search.granularities)
	options.Identity["shared"] = string(w.opt.shared)
	if save := w.opt.checkpoints.save; save != "" {
		err := checkCheckpoint(save, w.opt, "search", func() error { _, err := readSearch(save); return err })
		if err != nil {
			return nil, err
		}
	}
	if resume := w.opt.checkpoints.resume; resume != "" {
		search, err := readSearch(resume)
		if err != nil {
			return nil, err
		}
		find := func(name string) (diag.Layer, error) {
			g, l, err := w.network.FindLayer(name)
			return unambiguous(w.network, g, l), err
		}
		return search, search.Resume(w.runner, w.subject.data(), options, find)
	}
	candidates, err := w.grid(ctx)
	if err != nil {
		return nil, err
	}
	return pol.NewLayerSearch(w.runner, w.subject.data(), candidates, options), nil
}

// grid measures the layers and chooses the candidates.
func (w *searcher) grid(ctx context.Context) ([]pol.Candidate, error) {
	var measured []pol.Measured
	var last *diagnosis
	for _, g := range w.opt.search.granularities {
		opt := w.opt.treatmentOptions
		opt.granularity = g
		found, err := findDiagnosis(ctx, w.subject, opt)
		if err != nil {
			return nil, err
		}
		m := pol.Measured{Figures: found.report.Layers}
		for _, l := range w.network.Layers(g) {
			m.Layers = append(m.Layers, unambiguous(w.network, g, l))
		}
		measured, last = append(measured, m), found
	}
	classifier, err := recipeLayers(w.network, "perturb", pol.Classifier, nil)
	if err != nil {
		return nil, err
	}
	may := func(l diag.Layer) bool {
		return w.opt.shared != refuseShared || w.network.CheckUnshared([]string{l.Name}) == nil
	}
	candidates, err := pol.Grid(measured, classifier[0], w.opt.search.candidates, may)
	if errors.Is(err, pol.ErrNothingToTreat) {
		return nil, nothingToTreat(err, last.report)
	}
	return candidates, err
}

// tryTarget finds what stands in the way of writing before the search.
func (w *searcher) tryTarget(c pol.Candidate) error {
	t, err := prepare(w.subject, chosenPlan{plan: c.Plan(w.opt.recipe)}, w.opt.treatmentOptions)
	if err != nil {
		return err
	}
	written, err := t.tryTarget(w.opt.target)
	if err == nil {
		err = protectDataFiles(append(t.network.Model.DataFiles(), written...), w.opt)
	}
	return errors.Join(err, t.close())
}

// run carries a search out.
func (w *searcher) run(ctx context.Context, search *pol.LayerSearch) error {
	work := make([]int, len(search.Candidates))
	for i, c := range search.Candidates {
		work[i] = c.Plan(w.opt.recipe).Work(w.runner.Necks()-1, &w.options)
	}
	var save func(*pol.LayerSearch) error
	if path := w.opt.checkpoints.save; path != "" {
		save = func(s *pol.LayerSearch) error { return saveSearch(path, s) }
	}
	total, before := pol.TotalEpochs(search.Rungs)*w.steps, 0
	return search.Run(work, save, func(rung int, candidates []int, tried func(int, pol.Trial) error) error {
		r := search.Rungs[rung]
		done := before + (r.Candidates-len(candidates))*r.Epochs*w.steps // some may be of a run before
		before += r.Candidates * r.Epochs * w.steps
		finished := r.Candidates - len(candidates)
		doing := ""
		options := w.options
		options.Epochs = r.Epochs
		options.Progress = func(phase string, step, of int) {
			if phase == pol.PhaseCache || phase == pol.PhaseRate {
				step = 0
			}
			w.opt.run.console.progress(doing, done+step, total)
		}
		begin := func(candidate int) {
			c := search.Candidates[candidate]
			doing = fmt.Sprintf("round %d of %d, candidate %d/%d: %s → %s", rung+1, len(search.Rungs), finished+1, r.Candidates, cmp.Or(c.Perturb.Name, "–"), c.Update.Name)
			options.Progress(pol.PhaseCache, 0, 1)
		}
		return w.try(ctx, search, candidates, options, pol.Tryout{Begin: begin, Tried: func(candidate int, t pol.Trial) error {
			finished++
			done += r.Epochs * w.steps
			return tried(candidate, t)
		}})
	})
}

// try treats candidates: all of them on the same model, so that they share what is
// kept, or each on a model of its own, in which shared weights are untied. It tells of
// them by their numbers in the search.
func (w *searcher) try(ctx context.Context, search *pol.LayerSearch, candidates []int, options pol.Options, tell pol.Tryout) error {
	var plans []pol.Plan
	for _, c := range candidates {
		plans = append(plans, search.Candidates[c].Plan(w.opt.recipe))
	}
	if w.opt.shared != untieShared {
		return pol.Try(ctx, w.runner, w.subject.data(), plans, options, renumbered(tell, candidates))
	}
	for i, plan := range plans {
		if err := w.tryUntied(ctx, plan, options, renumbered(tell, candidates[i:])); err != nil {
			return err
		}
	}
	return nil
}

// renumbered tells of plans by numbers of their own.
func renumbered(tell pol.Tryout, numbers []int) pol.Tryout {
	return pol.Tryout{
		Begin: func(plan int) { tell.Begin(numbers[plan]) },
		Tried: func(plan int, t pol.Trial) error { return tell.Tried(numbers[plan], t) },
	}
}

// tryUntied treats one candidate on a model of its own.
func (w *searcher) tryUntied(ctx context.Context, plan pol.Plan, options pol.Options, tell pol.Tryout) error {
	t, err := prepare(w.subject, chosenPlan{plan: plan}, w.opt.treatmentOptions)
	if err != nil {
		return err
	}
	own := t.options
	own.Epochs, own.Progress = options.Epochs, options.Progress
	err = pol.Try(ctx, t.runner, w.subject.data(), []pol.Plan{t.plan}, own, tell)
	return errors.Join(err, t.close())
}

// saveSearch writes a search to a file that appears whole or not at all.
func saveSearch(path string, s *pol.LayerSearch) error {
	if err := writeFile(path, s.Write); err != nil {
		return &failure{code: exitInternal, msg: fmt.Sprintf("the search cannot be saved to %s: %v", path, err), hint: "make room, or choose another place with --checkpoint", err: err}
	}
	return nil
}

func readSearch(path string) (*pol.LayerSearch, error) {
	const hint = "give a file that --checkpoint has written, with --search-layers"
	f, err := openSaved(path)
	if err != nil {
		return nil, unreadable(fmt.Errorf("--resume: %w", err), hint)
	}
	defer f.Close()
	s, err := pol.ReadLayerSearch(f)
	if err != nil {
		return nil, unreadable(fmt.Errorf("--resume: %s: %w", path, err), hint)
	}
	return s, nil
}

// printSearch says what a search would try and cost.
func printSearch(ctx context.Context, s *subject, opt fixOptions, start time.Time) error {
	w, err := newSearcher(s, opt)
	if err != nil {
		return err
	}
	candidates, err := w.grid(ctx)
	if err != nil {
		return err
	}
	options := w.options
	options.Epochs = 1
	costs := make([]pol.Cost, len(candidates))
	for i, c := range candidates {
		opt.run.console.progress("candidates", i, len(candidates))
		if costs[i], err = pol.EstimateCost(ctx, w.runner, s.data(), c.Plan(opt.recipe), options); err != nil {
			return err
		}
	}
	opt.run.console.finish()
	plan := report.NewSearchPlan(candidates, costs, pol.Rungs(len(candidates), w.options.Epochs))
	plan.Model, plan.Data = describeModel(s.network.Model, s.network), describeSets(s, opt.treatmentOptions)
	plan.Hyperparameters = report.NewRecipe(opt.recipe.Name, slices.Concat(
		describeLayers(report.RolePerturb, candidates[0].Plan(opt.recipe).Perturb), describeLayers(report.RoleUpdate, candidates[0].Plan(opt.recipe).Update)), "", w.options, plan.Data).Hyperparameters
	if plan.Model.SHA256, err = s.network.Model.SHA256(); err != nil {
		return err
	}
	plan.Provenance = provenance(s.loaded, w.options.Seed, start)
	return opt.out.write(plan)
}
