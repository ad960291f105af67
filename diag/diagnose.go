package diag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Phases of a diagnosis, as Options.Progress is told. Measuring a layer is a
// phase with the layer's name.
const (
	PhaseLoss      = "loss"
	PhaseGradients = "gradients"
	PhaseRanking   = "ranking"
)

// Diagnose measures each layer on the examples.
//
// If the context's deadline passes, it returns the report of what was measured,
// with Complete false, together with an error that wraps
// context.DeadlineExceeded. With any other error there is no report. The model
// has the checkpoint's weights again in every case.
func Diagnose(ctx context.Context, m nn.Model, v nn.Examples, layers []Layer, opt Options) (*Report, error) {
	if err := validate(m, v, layers); err != nil {
		return nil, err
	}
	if t := opt.Temperature; !(t >= 0) || math.IsInf(t, 1) {
		return nil, fmt.Errorf("temperature %v: expected a positive number", t)
	}
	if opt.Training != nil {
		if err := validate(m, opt.Training, nil); err != nil {
			return nil, fmt.Errorf("training examples: %w", err)
		}
	}
	opt = opt.withDefaults()
	found, err := examine(ctx, m, v, layers, opt)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		err = fmt.Errorf("time limit: %w", err)
	}
	report := &Report{
		Metrics: found.metrics, Complete: err == nil,
		N: v.Len(), Classes: m.Classes(), Direction: opt.Direction,
		Calibration: found.calibration, Temperature: found.temperature, Threshold: opt.threshold(RuleRecoverableLoss),
		Tests: max(opt.Tests, len(measurable(layers))), Coverage: opt.Coverage, Race: found.race,
	}
	if opt.Training != nil {
		report.Training = opt.Training.Len()
	}
	if b := found.checkpoint; opt.PerExample && b != nil && b.notFinite == 0 {
		report.Metrics.Losses, report.Metrics.Right = found.inDataOrder(narrow(b.losses)), b.correct
	}
	for _, l := range found.layers {
		if l.gains != nil && opt.PerExample {
			l.result.Transfer.Gains = found.inDataOrder(l.gains)
		}
		report.Layers = append(report.Layers, l.result)
	}
	conclude(report, &found, opt)
	return report, err
}

// validate checks what the caller promised about the examples and the layers.
func validate(m nn.Model, v nn.Examples, layers []Layer) error {
	if v.Len() == 0 {
		return errors.New("no examples to diagnose on")
	}
	for i := range v.Len() {
		if l := v.Label(i); l < 0 || l >= m.Classes() {
			return fmt.Errorf("example %d has label %d; the model has %d classes, 0 to %d", i, l, m.Classes(), m.Classes()-1)
		}
	}
	if m.Batch() < 1 || m.Necks() < 2 {
		panic(fmt.Sprintf("diag: model with batch %d and %d necks", m.Batch(), m.Necks()))
	}
	for _, l := range layers {
		if l.Skip == "" && (l.Neck < 0 || l.Neck >= m.Necks()-1) {
			panic(fmt.Sprintf("diag: layer %s starts at neck %d of %d", l.Name, l.Neck, m.Necks()))
		}
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Threshold == 0 {
		o.Threshold = DefaultThreshold
	}
	if o.DescentSteps == 0 {
		o.DescentSteps = DefaultDescentSteps
	}
	return o
}

// labelsOf returns the label of each example.
func labelsOf(v nn.Examples) []int {
	labels := make([]int, v.Len())
	for i := range labels {
		labels[i] = v.Label(i)
	}
	return labels
}

// findings are what a diagnosis has measured.
type findings struct {
	checkpoint  *baseline // nil if not even that was evaluated
	metrics     Metrics
	temperature float64 // that losses are taken at
	calibration Calibration
	layers      []measurement // in the order in which the layers were given
	race        *RaceResult   // nil unless layers were chosen
	middle      int           // number of examples in half A
	order       []int         // the example at each position
}

// inDataOrder brings what is given by position into the order of the data.
func (f *findings) inDataOrder(figures []float32) []float32 {
	out := make([]float32, len(figures))
	for position, example := range f.order {
		out[example] = figures[position]
	}
	return out
}

// examine measures the model and its layers. With an error it returns what was
// measured before.
func examine(ctx context.Context, m nn.Model, v nn.Examples, layers []Layer, opt Options) (found findings, err error) {
	found.layers = make([]measurement, len(layers))
	for i, l := range layers {
		found.layers[i].result = unmeasured(l)
	}
	found.temperature, found.calibration = calibrate(opt.Temperature, nil)
	visits := measurable(layers)
	visited := make([]Layer, len(visits))
	for i, k := range visits {
		visited[i] = layers[k]
	}
	progress := &progress{call: opt.Progress}
	e, vectors := newEvaluator(m, v, visited, progress, opt), foldCount
	defer func() { err = errors.Join(err, e.boundary.Close()) }()
	held := heldOnDevice(e.boundary)
	measurer := &measurer{evaluator: e, costs: newCosts(m, e.folds.n(), opt), direction: opt.Direction, steps: opt.DescentSteps}
	if opt.Training != nil {
		measurer.training = &trainingSet{evaluator: newEvaluator(m, opt.Training, visited, progress, opt)}
		boundary := measurer.training.evaluator.boundary
		defer func() { err = errors.Join(err, boundary.Close()) }()
		held, vectors = held+heldOnDevice(boundary), vectors+1
	}
	var runners *race // nil: all layers are searched
	if opt.Race.wanted(len(visits)) {
		runners = &race{measurer: measurer, Race: *opt.Race, layers: visited, probe: openProbe(m, v, e.folds, visited, opt)}
		defer func() { err = errors.Join(err, runners.probe.Close()) }()
		held += heldOnDevice(runners.probe)
	}
	gradientBudget := int64(math.MaxInt64)
	if opt.Memory > 0 {
		gradientBudget = opt.Memory - held
	}
	groups := sweepGroups(m, visited, vectors, gradientBudget)
	progress.total, progress.phases = measurer.costs.total(groups), phases(groups)
	if runners != nil {
		progress.total, progress.phases = measurer.costs.ranking(groups), 1+2*len(groups)
	}
	progress.begin(PhaseLoss, measurer.costs.evaluation(0))
	if err := e.boundary.Load(ctx, func(int) {}); err != nil {
		return found, err
	}
	b, logits, err := measureBaseline(ctx, e)
	if err != nil {
		return found, err
	}
	found.checkpoint, found.middle, found.order = b, e.folds.middle(), e.folds.order
	if b.notFinite > 0 {
		for _, i := range visits {
			r := &found.layers[i].result
			r.Status, r.Reason = StatusDiverged, b.notFiniteReason()
			r.TransferReason = r.Reason
		}
		return found, nil
	}
	temperature := measureTemperature(logits, e.folds.middle())
	found.temperature, found.calibration = calibrate(opt.Temperature, temperature)
	e.invT = 1 / found.temperature
	measurer.start = b.losses
	if e.invT != 1 {
		measurer.start = logits.Losses(e.invT)
	}
	found.metrics = b.metrics(temperature, metric.Mean(measurer.start), confidenceAt(e.folds, logits, e.invT))
	if s := measurer.training; s != nil {
		s.evaluator.invT = e.invT
		if err := s.evaluator.boundary.Load(ctx, func(int) {}); err != nil {
			return found, err
		}
		if s.start, err = s.losses(ctx); err != nil {
			return found, err
		}
	}
	if runners != nil {
		found.race, err = runners.run(ctx, groups, func(i int, m measurement) { found.layers[visits[i]] = m })
		return found, err
	}
	for _, group := range groups {
		results, err := measurer.group(ctx, group)
		for i, r := range results {
			found.layers[visits[i]] = r
		}
		if err != nil {
			return found, err
		}
		visits = visits[len(results):]
	}
	progress.end()
	return found, nil
}

// newEvaluator opens the activations of examples for visits to layers. With
// training examples two of them share the memory that activations may take.
func newEvaluator(m nn.Model, v nn.Examples, visited []Layer, p *progress, opt Options) *evaluator {
	limit, host := halfOf(opt.Memory), opt.HostMemory
	if opt.Training != nil {
		limit, host = halfOf(limit), host/2
	}
	f := newFolds(labelsOf(v))
	boundary := nn.Open(m, v, f.order, nn.Holding{
		Necks: necksAboveImages(visited), Images: true, Limit: limit, HostLimit: host, TempDir: opt.TempDir,
	})
	return &evaluator{model: m, folds: f, boundary: boundary, progress: p, invT: 1}
}

// heldOnDevice is what activations take of the memory that gradients take, too.
func heldOnDevice(a *nn.Activations) int64 {
	if bytes, in := a.Held(); in == nn.OnDevice {
		return bytes
	}
	return 0
}

// ReasonTimeLimit is why a layer was not reached.
const ReasonTimeLimit = "time limit"

// reasonAllZero is why [Balanced] measures nothing of a layer: its figures would be
// those of a healthy one, whatever the gradient asks for.
const reasonAllZero = "all its weights are zero, and moving them by a share of their norm leaves them there"

// unmeasured is the result of a layer that has not been measured, or will not
// be.
func unmeasured(l Layer) LayerResult {
	r := LayerResult{Name: l.Name, Index: l.Index, Parameters: l.Parameters, Status: StatusSkipped, Reason: ReasonTimeLimit}
	switch {
	case l.Skip != "":
		r.Reason = l.Skip
	case len(l.Weights) == 0:
		r.Reason = "no weights"
	}
	r.TransferReason = r.Reason
	return r
}

// measurable returns the indices of the layers that can be measured, in the order
// in which the boundary moves.
func measurable(layers []Layer) []int {
	visits := make([]int, 0, len(layers))
	for i, l := range layers {
		if l.Skip == "" && len(l.Weights) > 0 {
			visits = append(visits, i)
		}
	}
	slices.SortStableFunc(visits, func(a, b int) int { return cmp.Compare(layers[a].Neck, layers[b].Neck) })
	return visits
}

// Measurable is the number of layers that can be measured: what Options.Tests is
// for all layers of a model.
func Measurable(layers []Layer) int { return len(measurable(layers)) }

// elementBytes is the size of an element of a gradient.
const elementBytes = 4

// sweepGroups divides layers into groups of which so many gradients fit into so
// many bytes together. One layer's always have to.
func sweepGroups(m nn.Sizes, layers []Layer, gradients int, budget int64) (groups [][]Layer) {
	var bytes int64
	for i, l := range layers {
		size := int64(0)
		for _, w := range l.Weights {
			size += int64(m.WeightElements(w)) * int64(gradients) * elementBytes
		}
		if i == 0 || bytes+size > budget {
			groups = append(groups, nil)
			bytes = 0
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], l)
		bytes += size
	}
	return groups
}

// necksAboveImages are the necks of layers, without that of the images.
func necksAboveImages(layers []Layer) []int {
	var necks []int
	for _, l := range layers {
		if l.Neck > 0 {
			necks = append(necks, l.Neck)
		}
	}
	return necks
}

// halfOf is half a budget in bytes, where 0 is no limit.
func halfOf(memory int64) int64 {
	if memory <= 0 {
		return 0
	}
	return max(1, memory/2)
}
