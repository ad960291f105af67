package pol

import (
	"context"
	"maps"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// evaluateHoldout evaluates H with the checkpoint's weights, and with the changed
// ones in their place; after is nil where none has changed. The stages below the
// neck, which is below all that has changed, are run once for both.
func evaluateHoldout(ctx context.Context, m nn.Model, h *cache, changed map[int][]float32, p *progress) (before, after *Evaluation, err error) {
	n := h.examples.Len()
	p.begin(PhaseHoldout, n)
	before = newEvaluation(m, n)
	var weights []int
	var treated *nn.Vector
	if changed != nil {
		after = newEvaluation(m, n)
		weights = slices.Collect(maps.Keys(changed))
		if treated, err = nn.Import(m, changed); err != nil {
			return nil, nil, err
		}
		defer treated.Free()
	}
	defer nn.Restore(m, weights...)
	err = h.batches(ctx, consecutive(0, n), h.neck, nil, func(batch *nn.Activations, _ int) error {
		if err := before.add(ctx, batch, 0, batch.Len(), 1); err != nil {
			return err
		}
		if changed != nil {
			treated.Override(weights...)
			if err := after.add(ctx, batch, 0, batch.Len(), 1); err != nil {
				return err
			}
			nn.Restore(m, weights...)
		}
		p.add(batch.Len())
		return nil
	})
	return before, after, err
}

// judge fills in what the treatment, and a temperature alone, do to H: before and
// after are its evaluations, after nil where there is no treatment to judge.
// temperature and own fit V before and after, nil where none does. trained says that
// the treatment is not the temperature alone.
func (r *Result) judge(before, after *Evaluation, temperature, own *float64, trained bool) {
	r.Images.Before, r.Images.WrongBefore = before.Losses, before.wrong()
	r.Holdout = before.Logits.Len()
	r.Before = before.Figures()
	var losses []float64 // with the temperature alone
	if temperature != nil {
		losses = before.Logits.Losses(1 / *temperature)
		r.Images.Temperature = losses
		r.Temperature = &Temperature{Value: *temperature, Loss: metric.Mean(losses), Drop: metric.PairedDrop(before.Losses, losses)}
	}
	if after == nil {
		return
	}
	figures := after.Figures()
	if !metric.IsFinite(figures.Loss) {
		r.Stopped = "the hold-out loss of the treated model is not finite"
		return
	}
	gain, drop := before.Drop(after)
	r.After, r.Gain, r.ErrorDrop = &figures, &gain, &drop
	r.Images.After, r.Images.WrongAfter = after.Losses, after.wrong()
	for i, wrong := range r.Images.WrongAfter {
		switch r.Images.WrongBefore[i] - wrong {
		case 1:
			r.Mended++
		case -1:
			r.Spoiled++
		}
	}
	if own != nil {
		r.Images.Own = after.Logits.Losses(1 / *own)
		r.Own = &Temperature{Value: *own, Loss: metric.Mean(r.Images.Own), Drop: metric.PairedDrop(before.Losses, r.Images.Own)}
		if losses != nil {
			beyond := metric.PairedDrop(losses, r.Images.Own)
			r.OwnBeyond = &beyond
		}
	}
	if losses != nil && trained {
		beyond := metric.PairedDrop(losses, after.Losses)
		r.Beyond = &beyond
	}
}
