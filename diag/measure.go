package diag

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// A measurer measures layers, in the order of their necks.
type measurer struct {
	evaluator *evaluator
	costs     costs
	start     []float64 // losses at the checkpoint, by position
	direction Direction
	steps     int // of Descent
}

// group takes the gradients of some layers in one sweep, and measures each. With
// an error it returns the results of the layers before.
func (m *measurer) group(ctx context.Context, layers []Layer) ([]LayerResult, error) {
	e, first := m.evaluator, layers[0].Neck
	e.progress.begin(PhaseGradients, m.costs.advance(e.boundary.Neck(), first)+m.costs.gradients(first))
	if err := e.advance(ctx, first); err != nil {
		return nil, err
	}
	var want []int
	for _, l := range layers {
		want = append(want, l.Weights...)
	}
	sums, err := sumGradients(ctx, e, want)
	defer sums.free()
	if err != nil {
		return nil, fmt.Errorf("gradients: %w", err)
	}
	var results []LayerResult
	for _, l := range layers {
		e.progress.begin(l.Name, m.costs.advance(e.boundary.Neck(), l.Neck)+m.costs.layer(l.Neck))
		if err := e.advance(ctx, l.Neck); err != nil {
			return results, err
		}
		result, err := m.layer(ctx, l, sums)
		if err != nil {
			return results, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		results = append(results, result)
		sums.free(l.Weights...)
	}
	return results, nil
}

// layer measures one layer; the boundary is at its neck.
func (m *measurer) layer(ctx context.Context, layer Layer, sums foldSums) (LayerResult, error) {
	model := m.evaluator.model
	r := LayerResult{Name: layer.Name, Index: layer.Index, Parameters: layer.Parameters, Status: StatusOK}
	lg, err := newLayerGradient(model, layer, sums)
	if err != nil {
		return r, err
	}
	switch {
	case !metric.IsFinite(lg.wNorm):
		return r.diverged("a weight is not finite"), nil
	case !lg.finite():
		r.WNorm = lg.wNorm
		return r.diverged("the gradient is not finite"), nil
	}
	f := m.evaluator.folds
	all := f.mean(foldA1, foldA2, foldB1, foldB2)
	loss := metric.Mean(m.start)
	r.WNorm, r.GNorm = lg.wNorm, lg.norm(all)
	r.Points = [][2]float64{{0, loss}}
	moved, err := nn.NewVector(model, layer.Weights)
	if err != nil {
		return r, err
	}
	defer moved.Free()
	defer nn.Restore(model, layer.Weights...)
	if d, ok := lg.direction(m.direction, all, loss); !ok {
		r.Status, r.Reason = StatusFlat, "the gradient is zero up to rounding"
	} else {
		found, err := m.search(ctx, lg, d, all, moved)
		if err != nil {
			return r, err
		}
		r.record(found, m.direction)
		if r.Status == StatusDiverged {
			return r.diverged(r.Reason), nil
		}
	}
	r.Agreement = lg.agreement(f.mean(foldA1, foldA2), f.mean(foldB1, foldB2))
	if f.n() < MinTransferExamples {
		r.TransferReason = fewExamples(f.n())
		return r, nil
	}
	r.Transfer, r.TransferReason, err = transfer(lg, m.direction, f, m.start, func(d direction) lossesAt {
		p := newPath(m.evaluator, lg, d, moved)
		return func(fold int, t float64) ([]float64, error) {
			losses := make([]float64, f.size(fold))
			err := p.losses(ctx, t, f.bounds[fold][0], losses)
			return losses, err
		}
	})
	return r, err
}

// search finds the lowest mean loss of all examples along d, or where the steps
// of Descent lead that begin along d.
func (m *measurer) search(ctx context.Context, lg *layerGradient, d direction, all perFold, moved *nn.Vector) (searchResult, error) {
	p := newPath(m.evaluator, lg, d, moved)
	losses := make([]float64, len(m.start))
	phi := func(t float64) (float64, error) {
		err := p.losses(ctx, t, 0, losses)
		return metric.Mean(losses), err
	}
	found, err := lineSearch(phi, metric.Mean(m.start), lg.slope(d, all))
	if err != nil || m.direction != Descent {
		return found, err
	}
	return descend(ctx, m.evaluator, lg, d, found, m.steps, moved)
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
