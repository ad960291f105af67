package diag

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/metric"
)

// measureGroup takes the gradients of a group of layers, ordered by neck, in
// one sweep, and measures each.
func (d *diagnosis) measureGroup(ctx context.Context, layers []Layer, group []int, report *Report) error {
	n, first := d.deal.n(), layers[group[0]].Neck
	d.progress.begin(PhaseGradients, n*(first-d.boundary.neck)+gradientCost*n*d.suffix(first))
	if err := d.advance(ctx, first); err != nil {
		return err
	}
	var want []int
	for _, v := range group {
		want = append(want, layers[v].Weights...)
	}
	sums, err := d.sweep(ctx, want)
	if err != nil {
		return fmt.Errorf("gradients: %w", err)
	}
	for _, v := range group {
		layer := layers[v]
		d.progress.begin(layer.Name, n*(layer.Neck-d.boundary.neck)+d.perLayer*n*d.suffix(layer.Neck))
		if err := d.advance(ctx, layer.Neck); err != nil {
			return err
		}
		result, err := d.measure(ctx, layer, sums)
		if err != nil {
			return fmt.Errorf("layer %s: %w", layer.Name, err)
		}
		report.Layers[v] = result
		for _, w := range layer.Weights {
			delete(sums, w)
		}
	}
	return nil
}

// advance moves the cut.
func (d *diagnosis) advance(ctx context.Context, neck int) error {
	stages := neck - d.boundary.neck
	return d.boundary.advance(ctx, neck, func(examples int) { d.progress.add(examples * stages) })
}

// measure measures one layer; the boundary is at its neck.
func (d *diagnosis) measure(ctx context.Context, layer Layer, sums quarterSums) (LayerResult, error) {
	lg := newLayerGradient(d.model, layer, sums)
	r := LayerResult{Name: layer.Name, Index: layer.Index, Parameters: layer.Parameters, Status: StatusOK}
	switch {
	case !metric.IsFinite(lg.wNorm):
		return r.diverged("a weight is not finite"), nil
	case !lg.finite():
		r.WNorm = lg.wNorm
		return r.diverged("the gradient is not finite"), nil
	}
	all := d.deal.mean(dataset.A1, dataset.A2, dataset.B1, dataset.B2)
	loss := metric.Mean(d.base)
	r.WNorm, r.GNorm = lg.wNorm, lg.norm(all)
	r.Points = [][2]float64{{0, loss}}
	if path, ok := lg.direction(d.opt.Direction, all, loss); !ok {
		r.Status, r.Reason = StatusFlat, "the gradient is zero up to rounding"
	} else {
		found, err := d.search(ctx, lg, path, all, loss)
		if err != nil {
			return r, err
		}
		r.record(found, d.opt.Direction)
		if r.Status == StatusDiverged {
			return r.diverged(r.Reason), nil
		}
	}
	r.Agreement = lg.agreement(d.deal.mean(dataset.A1, dataset.A2), d.deal.mean(dataset.B1, dataset.B2))
	var err error
	r.Transfer, r.TransferReason, err = d.transfer(ctx, lg)
	return r, err
}

// search finds the lowest loss of all examples along a layer's path.
func (d *diagnosis) search(ctx context.Context, lg *layerGradient, path direction, all perQuarter, loss float64) (searchResult, error) {
	defer d.restore(lg.weights)
	mv := newMover(d, lg)
	mv.along(path)
	losses := make([]float64, d.deal.n())
	phi := func(t float64) (float64, error) {
		err := mv.losses(ctx, t, 0, losses)
		return metric.Mean(losses), err
	}
	found, err := lineSearch(phi, loss, lg.slope(path, all))
	if err != nil || d.opt.Direction != Descent {
		return found, err
	}
	return d.descend(ctx, lg, path, found, d.opt.DescentSteps)
}

// record enters the outcome of a search. r has the layer's norm and, as its
// only point, the loss at the checkpoint.
func (r *LayerResult) record(found searchResult, kind Direction) {
	loss := r.Points[0][1]
	r.Status, r.Reason = found.status, found.reason
	r.Points, r.ForwardEvaluations = found.points, found.evaluations
	if found.status != StatusOK {
		return
	}
	r.DeltaLoss = loss - found.value
	if kind == Balanced {
		r.Step = found.t * r.WNorm
		r.KappaScaled = metric.Finite(r.DeltaLoss / (found.t * found.t))
	} else {
		r.Step = found.t
		r.KappaScaled = metric.Finite(r.DeltaLoss / (found.t * found.t) * r.WNorm * r.WNorm)
	}
	r.Kappa = metric.Finite(r.DeltaLoss / (r.Step * r.Step))
	r.StepShare = metric.Finite(r.Step / r.WNorm)
}

// diverged is a result without figures.
func (r LayerResult) diverged(reason string) LayerResult {
	return LayerResult{
		Name: r.Name, Index: r.Index, Parameters: r.Parameters, WNorm: r.WNorm,
		Status: StatusDiverged, Reason: reason, TransferReason: reason,
	}
}
