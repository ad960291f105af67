package diag

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// A Race lets layers compete for being searched. The gradients of all layers, and the
// losses of a quarter of the examples after two moves of each, forecast what a search
// would find, and only the layers with the largest forecasts are searched. The others
// are skipped, and undecided.
//
// The intervals of those that are searched are corrected for all layers that can be
// measured, as if each had been searched. Where all those intervals hold at once,
// those of any of the layers do, however these were chosen: that the same examples
// choose the layers and measure them costs nothing. The interval of a single layer has
// no such excuse, since the largest forecasts are those that noise has raised, and so
// no verdict on a layer rests on it; see [Report.layerZ].
type Race struct {
	// Layers is how many are searched. Where it is no less than there are to choose
	// from, there is no race.
	Layers int
	// Afford, if not nil, chooses that number instead, from 1 on, when all layers are
	// ranked. costs[k-1] is what searching the first k is expected to cost, in the unit
	// in which Options.Progress is told what is done.
	Afford func(costs []int) int
}

// A RaceResult is what became of a [Race].
type RaceResult struct {
	Searched   int // number of layers chosen to be searched
	Candidates int // number of layers to choose from
}

// ReasonNotSearched is why a layer that has lost a [Race] is skipped.
const ReasonNotSearched = "not searched: other layers promise more"

// wanted reports whether so many layers have to race.
func (r *Race) wanted(layers int) bool {
	return r != nil && layers > 1 && (r.Afford != nil || r.Layers < layers)
}

// layerZ is the number of standard errors to either side that the verdict on a layer
// rests on.
func (r *Report) layerZ() float64 {
	if r.Race == nil {
		return metric.Z95
	}
	return bonferroni(r.Tests)
}

// race is a race that is under way.
type race struct {
	*measurer
	Race
	layers []Layer         // in the order of their necks
	probe  *nn.Activations // of the examples of fold A1
	again  bool            // gradients of all layers do not fit in memory, and are taken again for a search
}

// openProbe opens the activations that forecasts are made with: a quarter of the
// examples, in a quarter of the memory that activations may take.
func openProbe(m nn.Model, v nn.Examples, f *folds, visited []Layer, opt Options) *nn.Activations {
	lo, hi := f.bounds[foldA1][0], f.bounds[foldA1][1]
	return nn.Open(m, v, f.order[lo:hi], nn.Holding{
		Necks: necksAboveImages(visited), Images: true,
		Limit: halfOf(halfOf(halfOf(opt.Memory))), HostLimit: opt.HostMemory / foldCount, TempDir: opt.TempDir,
	})
}

// A runner is a layer in a race.
type runner struct {
	index    int // in race.layers
	forecast float64
}

// compareRunners puts the most promising first, and last those of which no part of the
// examples asks for a move: a search of such a layer finds nothing to measure.
func compareRunners(a, b runner) int {
	if idle := a.forecast == 0; idle != (b.forecast == 0) {
		if idle {
			return 1
		}
		return -1
	}
	return -cmp.Compare(a.forecast, b.forecast)
}

// run ranks the layers and searches the first. set is told what becomes of each layer,
// by its index; of one that it is not told of nothing is known yet.
func (r *race) run(ctx context.Context, groups [][]Layer, set func(int, LayerFindings)) (*RaceResult, error) {
	r.again = len(groups) > 1
	known := make([]LayerFindings, len(r.layers))
	runners, gradients, err := r.rank(ctx, groups, known)
	defer gradients.free()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(runners, compareRunners)
	searched := r.choose(runners)
	result := &RaceResult{Searched: searched, Candidates: len(runners)}
	for _, lost := range runners[searched:] {
		r.skip(&known[lost.index].Result)
		gradients.free(r.layers[lost.index].Weights...)
	}
	if result.Searched == result.Candidates {
		result = nil // nothing was chosen
	}
	chosen := runners[:searched]
	slices.SortFunc(chosen, func(a, b runner) int { return cmp.Compare(a.index, b.index) })
	for i, m := range known {
		if !slices.ContainsFunc(chosen, func(c runner) bool { return c.index == i }) {
			set(i, m)
		}
	}
	layers := make([]Layer, len(chosen))
	for i, c := range chosen {
		layers[i] = r.layers[c.index]
	}
	progress := r.evaluator.progress
	progress.total = progress.done + progress.expected + r.cost(layers)
	if progress.phases += len(layers); r.again {
		progress.phases += len(layers) // their gradients
	}
	found, err := r.searchAll(ctx, layers, gradients)
	for i, m := range found {
		if result != nil {
			m.Result.Forecast = &chosen[i].forecast
		}
		set(chosen[i].index, m)
	}
	return result, err
}

// rank takes the gradients of all layers and forecasts what each would gain. known
// becomes what the gradients alone tell of each layer; where they tell all, it is no
// runner. The gradients of the last group are returned; those of the others, which do
// not fit in the memory beside them, were given back.
func (r *race) rank(ctx context.Context, groups [][]Layer, known []LayerFindings) (runners []runner, last sweep, err error) {
	i, progress := 0, r.evaluator.progress
	for _, group := range groups {
		last.free()
		if last, err = r.sweep(ctx, r.layers[0].Neck, group); err != nil {
			return nil, last, err
		}
		progress.begin(PhaseRanking, r.costs.probes(group, r.probe.Neck()))
		if err := r.probe.Load(ctx, func(int) {}); err != nil {
			return nil, last, err
		}
		for _, l := range group {
			begun, err := r.begin(l, last.folds)
			if err == nil && begun.along != nil {
				var gain float64
				gain, err = r.try(ctx, l, begun)
				begun.result.Forecast = &gain
				runners = append(runners, runner{i, gain})
			}
			if err != nil {
				return nil, last, fmt.Errorf("layer %s: %w", l.Name, err)
			}
			known[i].Result = begun.result
			i++
		}
	}
	return runners, last, nil
}

// choose is how many of the runners, the most promising first, are searched.
func (r *race) choose(runners []runner) int {
	if len(runners) == 0 || r.Afford == nil {
		return min(max(r.Layers, 1), len(runners))
	}
	sums := make([]int, len(runners))
	var layers []Layer
	for k, one := range runners {
		layers = append(layers, r.layers[one.index])
		sums[k] = r.cost(layers)
	}
	return min(max(r.Afford(sums), 1), len(runners))
}

// skip makes of what the gradients tell of a layer a result of its own.
func (r *race) skip(l *LayerResult) {
	l.Status, l.Reason, l.TransferReason, l.Points = StatusSkipped, ReasonNotSearched, ReasonNotSearched, nil
}

// searchAll searches layers in the order of their necks.
func (r *race) searchAll(ctx context.Context, layers []Layer, gradients sweep) (found []LayerFindings, err error) {
	if r.again {
		gradients.free()
		for _, l := range layers {
			one, err := r.group(ctx, []Layer{l})
			found = append(found, one...)
			if err != nil {
				return found, err
			}
		}
	} else if found, err = r.search(ctx, layers, gradients); err != nil {
		return found, err
	}
	r.evaluator.progress.end()
	return found, nil
}

// cost is what searching layers, in any order, is expected to take from now on.
func (r *race) cost(layers []Layer) int {
	at := r.evaluator.boundary.Neck()
	total, highest := 0, at
	for _, l := range layers {
		total += r.costs.layer(l.Neck)
		highest = max(highest, l.Neck)
		if r.again {
			total += r.costs.gradients(l.Neck)
		}
	}
	return total + r.costs.advance(at, highest)
}

// try moves the layer twice, by a little and then by what the lengths of a search are
// expected to be, and returns the forecast.
func (r *race) try(ctx context.Context, l Layer, begun layerStart) (float64, error) {
	f, lg := r.evaluator.folds, begun.gradient
	stages := l.Neck - r.probe.Neck()
	if err := r.probe.Advance(ctx, l.Neck, func(examples int) { r.evaluator.progress.add(examples * stages) }); err != nil {
		return 0, err
	}
	moved, err := nn.NewVector(r.evaluator.model, l.Weights)
	if err != nil {
		return 0, err
	}
	defer moved.Free()
	defer nn.Restore(r.evaluator.model, l.Weights...)
	p := newPath(r.evaluator, lg, begun.along, moved)
	stages = stagesAbove(r.evaluator.model, l.Neck)
	losses := make([]float64, r.probe.Len())
	lossAt := func(t float64) (float64, error) {
		if err := p.move(t); err != nil {
			return 0, err
		}
		err := r.probe.Evaluate(ctx, 0, r.evaluator.invT, losses, nil, func(examples int) { r.evaluator.progress.add(examples * stages) })
		return metric.Mean(losses), err
	}
	share := f.mean(foldA1)
	c := &forecaster{gradient: lg, folds: f, kind: r.direction, start: r.start, steepest: -lg.slope(begun.along, f.everything())}
	curvatureAt := func(t float64) (float64, error) {
		return curvatureOf(lossAt, f.combine(share, r.start), lg.slope(begun.along, share), t)
	}
	curvature, err := curvatureAt(usualProbe(metric.Mean(r.start), -c.steepest))
	if t := c.length(curvature); err == nil && t > 0 {
		curvature, err = curvatureAt(t)
	}
	return c.gain(curvature), err
}

// curvatureOf is that of the parabola through φ(0) and φ'(0) = slope that meets φ at t,
// which is halved while φ is not finite; 0 where it never is.
func curvatureOf(phi func(t float64) (float64, error), phi0, slope, t float64) (float64, error) {
	if !(t > 0) || math.IsInf(t, 1) {
		t = 1
	}
	for range maxHalvings {
		value, err := phi(t)
		if err != nil {
			return 0, err
		}
		if metric.IsFinite(value) {
			return 2 * (value - phi0 - slope*t) / (t * t), nil
		}
		t /= 2
	}
	return 0, nil
}

// A forecaster tells ΔL̂ as [crossFit] would measure it if the loss of each fold along
// each half's direction were a parabola, with the fold's own slope, which is known, and
// with the curvature that the loss has along the direction of all examples.
type forecaster struct {
	gradient *layerGradient
	folds    *folds
	kind     Direction
	start    []float64 // losses at the checkpoint, by position
	steepest float64   // minus the slope of all examples: no length exceeds the in-sample step
}

// each calls do with the length that each fold chooses, and with the gain per example
// and the number of the examples that are counted there.
func (c *forecaster) each(curvature float64, do func(t, gain float64, n int)) {
	f := c.folds
	// No less than that of a parabola whose minimum is a loss of 0.
	curvature = max(curvature, c.steepest*c.steepest/(2*metric.Mean(c.start)))
	for _, half := range crossings {
		share := f.mean(half.directs[:]...)
		d, ok := c.gradient.direction(c.kind, share, f.combine(share, c.start))
		if !ok {
			continue
		}
		for i, chooser := range half.others {
			counted := half.others[1-i]
			t := min(max(0, -c.gradient.slope(d, f.mean(chooser))), c.steepest) / curvature
			do(t, -c.gradient.slope(d, f.mean(counted))*t-curvature*t*t/2, f.size(counted))
		}
	}
}

// length is the mean of the four lengths.
func (c *forecaster) length(curvature float64) (mean float64) {
	c.each(curvature, func(t, _ float64, _ int) { mean += t / foldCount })
	return mean
}

// gain is ΔL̂; 0 where no length is above 0.
func (c *forecaster) gain(curvature float64) (mean float64) {
	c.each(curvature, func(_, gain float64, n int) { mean += gain * float64(n) / float64(c.folds.n()) })
	return mean
}

// ranking is the cost of everything that comes before layers are chosen.
func (c costs) ranking(groups [][]Layer) int {
	lowest := groups[0][0].Neck
	total, at := c.evaluation(0)+c.advance(0, lowest), 0
	for _, group := range groups {
		total += c.gradients(lowest) + c.probes(group, at)
		at = group[len(group)-1].Neck
	}
	return total
}

// probes is the cost of forecasts, which evaluate a quarter of the examples twice, held
// at a neck until then.
func (c costs) probes(layers []Layer, at int) int {
	total := layers[len(layers)-1].Neck - at
	for _, l := range layers {
		total += 2 * (c.logits - l.Neck)
	}
	return (c.examples + foldCount - 1) / foldCount * total
}
