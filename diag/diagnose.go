package diag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/internal/spill"
	"github.com/modeldoctor/modeldoctor/metric"
)

// Phases of a diagnosis, as Options.Progress is told. Measuring a layer is a
// phase with the layer's name.
const (
	PhaseLoss      = "loss"
	PhaseGradients = "gradients"
)

// diagnosis is the state of Diagnose.
type diagnosis struct {
	model    Model
	v        Examples
	opt      Options
	deal     *deal
	boundary *boundary
	progress progress
	invT     float64   // 1/temperature that every loss is taken at
	base     []float64 // losses at the checkpoint, by position
	perLayer int       // planned evaluations of all examples for a layer
}

// Diagnose measures each layer on the examples.
//
// If the context's deadline passes, it returns the report of what was measured,
// with Complete false, together with an error that wraps
// context.DeadlineExceeded. With any other error there is no report. The model
// has the checkpoint's weights again in every case.
func Diagnose(ctx context.Context, m Model, v Examples, layers []Layer, opt Options) (*Report, error) {
	if err := validate(m, v, layers); err != nil {
		return nil, err
	}
	opt = opt.withDefaults()
	labels := make([]int, v.Len())
	for i := range labels {
		labels[i] = v.Label(i)
	}
	d := &diagnosis{model: m, v: v, opt: opt, deal: newDeal(labels), invT: 1}
	results := make([]LayerResult, len(layers))
	for i, l := range layers {
		results[i] = d.unmeasured(l)
	}
	report := &Report{
		Layers: results, Complete: true, N: v.Len(), Classes: m.Classes(), Direction: opt.Direction,
		Calibrated: opt.Calibrated, Threshold: opt.Threshold, Coverage: opt.Coverage,
	}
	var b *baseline
	err := d.run(ctx, layers, report, &b)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		err = fmt.Errorf("time limit: %w", err)
		report.Complete = false
	}
	conclude(report, b, opt)
	return report, err
}

// validate checks what the caller promised about the examples and the layers.
func validate(m Model, v Examples, layers []Layer) error {
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

// unmeasured is the result of a layer that has not been measured, or will not
// be.
func (d *diagnosis) unmeasured(l Layer) LayerResult {
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

// reasonTimeLimit is why a layer was not reached.
const reasonTimeLimit = "time limit"

// run fills the report's metrics and layers. After an error they hold what was
// measured before it, and b what was found of the checkpoint, if anything.
func (d *diagnosis) run(ctx context.Context, layers []Layer, report *Report, b **baseline) (err error) {
	// Layers that can be measured, in the order in which the cut moves.
	visits := make([]int, 0, len(layers))
	for i, l := range layers {
		if l.Skip == "" && len(l.Weights) > 0 {
			visits = append(visits, i)
		}
	}
	slices.SortStableFunc(visits, func(a, b int) int { return cmp.Compare(layers[a].Neck, layers[b].Neck) })
	necks := make([]int, len(visits))
	for i, v := range visits {
		necks[i] = layers[v].Neck
	}
	d.boundary = newBoundary(d.model, d.v, d.deal.order, necks, halfOf(d.opt.Memory), d.opt.TempDir)
	defer func() { err = errors.Join(err, d.boundary.close()) }()
	sweeps := d.plan(layers, visits)

	d.progress.begin(PhaseLoss, d.deal.n()*d.suffix(0))
	if err := d.boundary.load(ctx); err != nil {
		return err
	}
	base, err := d.measureBaseline(ctx)
	if err != nil {
		return err
	}
	*b = base
	if base.notFinite > 0 {
		for _, i := range visits {
			r := &report.Layers[i]
			r.Status, r.Reason = StatusDiverged, base.notFiniteReason()
			r.TransferReason = r.Reason
		}
		return nil
	}
	temperature := measureTemperature(base.logits, d.deal.middle())
	d.base = base.losses
	if d.opt.Calibrated {
		t, ok := base.logits.FitTemperature()
		if !ok {
			return errors.New("no temperature can be fitted: logits are not finite; diagnose without calibration to see where")
		}
		report.CalibrationT = &t
		d.invT = 1 / t
		d.base = base.logits.Losses(d.invT)
	}
	report.Metrics = base.metrics(temperature, metric.Mean(d.base))
	base.logits = metric.Logits{} // no longer needed

	for _, group := range sweeps {
		if err := d.measureGroup(ctx, layers, group, report); err != nil {
			return err
		}
	}
	d.progress.end()
	return nil
}

// halfOf is half a budget in bytes, where 0 is no limit.
func halfOf(memory int64) int64 {
	if memory <= 0 {
		return 0
	}
	return max(1, memory/2)
}

// plan divides the visits into groups whose gradients fit into the memory
// together, and plans the progress.
func (d *diagnosis) plan(layers []Layer, visits []int) (sweeps [][]int) {
	n := d.deal.n()
	budget := d.opt.Memory - d.boundary.heapBytes()
	d.perLayer = plannedSearch
	if d.opt.Direction == Descent {
		d.perLayer = d.opt.DescentSteps * (plannedSearch + gradientCost)
	}
	if n >= MinTransferExamples {
		d.perLayer += plannedTransfer
	}
	d.progress.call = d.opt.Progress
	d.progress.total = n * d.suffix(0)
	var bytes int64
	for i, v := range visits {
		size := int64(0)
		for _, w := range layers[v].Weights {
			size += int64(len(d.model.Weight(w))) * quarters * spill.ElementBytes
		}
		if i == 0 || d.opt.Memory > 0 && bytes+size > budget {
			sweeps = append(sweeps, nil)
			bytes = 0
			d.progress.total += gradientCost * n * d.suffix(layers[v].Neck)
		}
		last := len(sweeps) - 1
		sweeps[last] = append(sweeps[last], v)
		bytes += size
		d.progress.total += d.perLayer * n * d.suffix(layers[v].Neck)
		d.progress.total += n * layers[v].Neck
		if i > 0 {
			d.progress.total -= n * layers[visits[i-1]].Neck
		}
	}
	return sweeps
}

// suffix is the number of stages from a neck to the logits.
func (d *diagnosis) suffix(neck int) int { return d.model.Necks() - 1 - neck }
