package pol

import (
	"context"

	"github.com/modeldoctor/modeldoctor/metric"
)

// crossEntropy is the loss of everything but the update's gradient.
var crossEntropy metric.Loss

// An objective is the mean loss of entries of the training set, with the weights
// that the model has.
type objective struct {
	model  Model
	train  *cache
	invT   float64   // 1/temperature that every loss is taken at
	losses []float64 // of one batch
}

func newObjective(m Model, train *cache, invT float64) *objective {
	return &objective{m, train, invT, make([]float64, m.Batch())}
}

// A divergence ends a training whose loss is no longer finite, or whose weights
// cannot be stored.
type divergence struct{ what string }

func (d *divergence) Error() string { return d.what }

// gradient sums a loss's gradient with respect to a group's weights over entries
// of the training set into sums, by index in the group, and returns the mean
// loss. keep, if not nil, is given the entries at the neck below the group, a
// batch at a time; done counts those before. A loss that is not finite is a
// divergence.
func (o *objective) gradient(ctx context.Context, loss metric.Loss, of group, sums [][]float32, entries []int, keep func(in []float32, labels []int, done int)) (mean float64, err error) {
	for _, sum := range sums {
		clear(sum)
	}
	add := of.adder(sums)
	total := 0.0
	err = o.train.batches(ctx, entries, of.neck, func(in []float32, labels []int, done int) error {
		if keep != nil {
			keep(in, labels, done)
		}
		losses := o.losses[:len(labels)]
		if err := o.model.LossGradients(ctx, loss, of.neck, in, labels, o.invT, of.weights, losses, add); err != nil {
			return err
		}
		for _, l := range losses {
			total += l
		}
		return nil
	})
	mean = total / float64(len(entries))
	if err == nil && !metric.IsFinite(mean) {
		err = &divergence{"the loss of a batch is not finite"}
	}
	return mean, err
}

// value is the mean cross-entropy of examples from their activations at a neck.
func (o *objective) value(ctx context.Context, neck int, in []float32, labels []int) (float64, error) {
	size := o.model.NeckElements(neck)
	total := 0.0
	for lo := 0; lo < len(labels); lo += o.model.Batch() {
		hi := min(lo+o.model.Batch(), len(labels))
		losses := o.losses[:hi-lo]
		if err := o.model.Evaluate(ctx, neck, in[lo*size:hi*size], labels[lo:hi], o.invT, losses, nil); err != nil {
			return 0, err
		}
		for _, l := range losses {
			total += l
		}
	}
	return total / float64(len(labels)), nil
}
