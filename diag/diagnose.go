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
	opt = opt.withDefaults()
	found, err := examine(ctx, m, v, layers, opt)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		err = fmt.Errorf("time limit: %w", err)
	}
	report := &Report{
		Metrics: found.metrics, Layers: found.layers, Complete: err == nil,
		N: v.Len(), Classes: m.Classes(), Direction: opt.Direction,
		Calibrated: opt.Calibrated, CalibrationT: found.calibrationT, Threshold: opt.Threshold, Coverage: opt.Coverage,
	}
	conclude(report, found.checkpoint, opt)
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
	checkpoint   *baseline // nil if not even that was evaluated
	metrics      Metrics
	calibrationT *float64      // nil if losses are not calibrated
	layers       []LayerResult // in the order in which the layers were given
}

// examine measures the model and its layers. With an error it returns what was
// measured before.
func examine(ctx context.Context, m nn.Model, v nn.Examples, layers []Layer, opt Options) (found findings, err error) {
	found.layers = make([]LayerResult, len(layers))
	for i, l := range layers {
		found.layers[i] = unmeasured(l)
	}
	visits := measurable(layers)
	visited := make([]Layer, len(visits))
	for i, k := range visits {
		visited[i] = layers[k]
	}
	f := newFolds(labelsOf(v))
	boundary := nn.Open(m, v, f.order, nn.Holding{Necks: necksAboveImages(visited), Images: true, Limit: halfOf(opt.Memory), TempDir: opt.TempDir})
	defer func() { err = errors.Join(err, boundary.Close()) }()
	gradientBudget := int64(math.MaxInt64)
	if opt.Memory > 0 {
		held, _ := boundary.Held()
		gradientBudget = opt.Memory - held
	}
	groups := sweepGroups(m, visited, gradientBudget)
	costs := newCosts(m, f.n(), opt)
	e := &evaluator{
		model: m, folds: f, boundary: boundary, invT: 1,
		progress: &progress{call: opt.Progress, total: costs.total(groups)},
	}

	e.progress.begin(PhaseLoss, costs.evaluation(0))
	if err := boundary.Load(ctx, func(int) {}); err != nil {
		return found, err
	}
	b, logits, err := measureBaseline(ctx, e)
	if err != nil {
		return found, err
	}
	found.checkpoint = b
	if b.notFinite > 0 {
		for _, i := range visits {
			r := &found.layers[i]
			r.Status, r.Reason = StatusDiverged, b.notFiniteReason()
			r.TransferReason = r.Reason
		}
		return found, nil
	}
	start := b.losses
	if opt.Calibrated {
		t, ok := logits.FitTemperature()
		if !ok {
			return found, errors.New("no temperature can be fitted: logits are not finite; diagnose without calibration to see where")
		}
		found.calibrationT = &t
		e.invT = 1 / t
		start = logits.Losses(e.invT)
	}
	found.metrics = b.metrics(measureTemperature(logits, f.middle()), metric.Mean(start))

	measurer := &measurer{evaluator: e, costs: costs, start: start, direction: opt.Direction, steps: opt.DescentSteps}
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
	e.progress.end()
	return found, nil
}

// reasonTimeLimit is why a layer was not reached.
const reasonTimeLimit = "time limit"

// unmeasured is the result of a layer that has not been measured, or will not
// be.
func unmeasured(l Layer) LayerResult {
	r := LayerResult{Name: l.Name, Index: l.Index, Parameters: l.Parameters, Status: StatusSkipped, Reason: reasonTimeLimit}
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

// elementBytes is the size of an element of a gradient.
const elementBytes = 4

// sweepGroups divides layers into groups whose gradients fit into so many bytes
// together. One layer's always have to.
func sweepGroups(m nn.Model, layers []Layer, budget int64) (groups [][]Layer) {
	var bytes int64
	for i, l := range layers {
		size := int64(0)
		for _, w := range l.Weights {
			size += int64(m.WeightElements(w)) * foldCount * elementBytes
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
