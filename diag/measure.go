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
	training  *trainingSet // nil if there are no training examples
	costs     costs
	start     []float64 // losses at the checkpoint, by position
	sample    *sample
	direction Direction
	steps     int // of Descent
	// measured, if not nil, is told of each layer that was searched; its error ends the
	// work.
	measured func(LayerFindings) error
}

// A sweep is the gradients of some layers.
type sweep struct {
	folds    foldSums
	training *nn.Vector // nil without training examples
}

// free gives the memory of some weights' gradients back, or of all where none is
// named.
func (s *sweep) free(weights ...int) {
	s.folds.free(weights...)
	s.training.Free(weights...)
}

// group takes the gradients of some layers in one sweep, and searches each. With
// an error it returns the measurements of the layers before.
func (m *measurer) group(ctx context.Context, layers []Layer) ([]LayerFindings, error) {
	s, err := m.sweep(ctx, layers[0].Neck, layers)
	defer s.free()
	if err != nil {
		return nil, err
	}
	return m.search(ctx, layers, s)
}

// sweep advances to a neck and takes the gradients of some layers above it.
func (m *measurer) sweep(ctx context.Context, neck int, layers []Layer) (s sweep, err error) {
	m.evaluator.progress.begin(PhaseGradients, m.costs.advance(m.evaluator.boundary.Neck(), neck)+m.costs.gradients(neck))
	if err := m.advance(ctx, neck); err != nil {
		return s, err
	}
	want := weightsOf(layers)
	if s.folds, err = sumGradients(ctx, m.evaluator, want); err != nil {
		return s, fmt.Errorf("gradients: %w", err)
	}
	if m.training != nil {
		if s.training, err = m.training.gradients(ctx, want); err != nil {
			return s, fmt.Errorf("gradients of the training examples: %w", err)
		}
	}
	return s, nil
}

// weightsOf are the weights of layers.
func weightsOf(layers []Layer) (weights []int) {
	for _, l := range layers {
		weights = append(weights, l.Weights...)
	}
	return weights
}

// search measures layers whose gradients were taken, and gives the memory of those
// back. With an error it returns the measurements of the layers before.
func (m *measurer) search(ctx context.Context, layers []Layer, s sweep) ([]LayerFindings, error) {
	var results []LayerFindings
	for _, l := range layers {
		m.evaluator.progress.begin(l.Name, m.costs.advance(m.evaluator.boundary.Neck(), l.Neck)+m.costs.layer(l.Neck))
		if err := m.advance(ctx, l.Neck); err != nil {
			return results, err
		}
		result, err := m.layer(ctx, l, s)
		if err != nil {
			return results, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		results = append(results, result)
		if m.measured != nil {
			if err := m.measured(result); err != nil {
				return results, err
			}
		}
		s.free(l.Weights...)
	}
	return results, nil
}

// advance moves the boundaries of all examples to a neck.
func (m *measurer) advance(ctx context.Context, neck int) error {
	if err := m.evaluator.advance(ctx, neck); err != nil || m.training == nil {
		return err
	}
	return m.training.evaluator.advance(ctx, neck)
}

// A layerStart is what the gradients of a layer tell before it is moved.
type layerStart struct {
	result   LayerResult
	gradient *layerGradient
	along    direction // of the in-sample search; nil where there is nothing to search
}

// begin looks at the gradients of a layer.
func (m *measurer) begin(layer Layer, sums foldSums) (layerStart, error) {
	r := LayerResult{Name: layer.Name, Index: layer.Index, Parameters: layer.Parameters, Status: StatusOK}
	lg, err := newLayerGradient(m.evaluator.model, layer, sums)
	if err != nil {
		return layerStart{}, err
	}
	switch {
	case !metric.IsFinite(lg.wNorm):
		return layerStart{result: r.diverged("a weight is not finite")}, nil
	case !lg.finite():
		r.WNorm = lg.wNorm
		return layerStart{result: r.diverged("the gradient is not finite")}, nil
	}
	f := m.evaluator.folds
	all := f.everything()
	loss := metric.Mean(m.start)
	r.WNorm, r.GNorm = lg.wNorm, lg.norm(all)
	r.Points = [][2]float64{{0, loss}}
	r.Agreement = lg.agreement(f.mean(foldA1, foldA2), f.mean(foldB1, foldB2))
	d, ok := lg.direction(m.direction, all, loss)
	switch {
	case m.direction == Balanced && lg.wNorm == 0:
		r.Status, r.Reason = StatusSkipped, reasonAllZero
		return layerStart{result: r}, nil
	case !ok:
		r.Status, r.Reason = StatusFlat, "the gradient is zero up to rounding"
		r.TransferReason = r.Reason
		return layerStart{result: r}, nil
	}
	return layerStart{r, lg, d}, nil
}

// layer measures one layer; the boundaries are at its neck.
func (m *measurer) layer(ctx context.Context, layer Layer, gradients sweep) (LayerFindings, error) {
	model, f := m.evaluator.model, m.evaluator.folds
	begun, err := m.begin(layer, gradients.folds)
	if err != nil || begun.along == nil {
		return LayerFindings{Result: begun.result}, err
	}
	r, lg, d, all := begun.result, begun.gradient, begun.along, f.everything()
	moved, err := nn.NewVector(model, layer.Weights)
	if err != nil {
		return LayerFindings{}, err
	}
	defer moved.Free()
	defer nn.Restore(model, layer.Weights...)
	s := &inSample{measurer: m, gradient: lg, along: d, all: all, moved: moved}
	found, err := s.search(ctx)
	if err != nil {
		return LayerFindings{}, err
	}
	r.record(found, m.direction)
	r.StartEvaluations = s.startEvaluations
	switch {
	case r.Status == StatusDiverged:
		return LayerFindings{Result: r.diverged(r.Reason)}, nil
	case r.Status == StatusFlat:
		r.TransferReason = r.Reason
		return LayerFindings{Result: r}, nil
	}
	if m.training != nil {
		g, err := newTrainingGradient(lg, gradients.training, m.training.evaluator.folds.n())
		if err != nil {
			return LayerFindings{}, err
		}
		r.Training = m.training.training(g, lg, d, all, s.training)
	}
	if f.n() < MinTransferExamples {
		r.TransferReason = fewExamples(f.n())
		return LayerFindings{Result: r}, nil
	}
	fit := &crossFit{folds: f, gradient: lg, kind: m.direction, start: m.start, sample: m.sample, longest: s.t, usual: usualProbe(metric.Mean(m.start), lg.slope(d, all)), along: func(d direction) lossesAt {
		p := newPath(m.evaluator, lg, d, moved)
		return func(fold int, t float64) ([]float64, sampled, error) {
			losses := make([]float64, f.size(fold))
			kept, err := p.sampled(ctx, t, f.bounds[fold][0], losses, m.sample)
			return losses, kept, err
		}
	}}
	var gains []float64
	r.Transfer, gains, r.TransferReason, err = fit.measure()
	if r.Training != nil {
		r.Training.Finding = r.Training.find(r.Transfer)
	}
	return LayerFindings{Result: r, Gains: narrow(gains), Noise: s.noise(f.middle())}, err
}

// narrow keeps figures of examples in half the memory; nil of nil.
func narrow(figures []float64) []float32 {
	var out []float32
	for _, x := range figures {
		out = append(out, float32(x))
	}
	return out
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
