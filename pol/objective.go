package pol

import (
	"context"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// crossEntropy is the loss of everything but the update's gradient.
var crossEntropy metric.Loss

// An objective is the mean loss of entries of the training set, with the weights
// that the model has.
type objective struct {
	train  *cache
	invT   float64 // 1/temperature that every loss is taken at
	losses []float64
}

// A divergence ends a training whose loss is no longer finite, or whose weights
// cannot be stored.
type divergence struct{ what string }

func (d *divergence) Error() string { return d.what }

// gradient sums a loss's gradient with respect to a group's weights over entries
// of the training set into sum, and returns the mean loss. A loss that is not
// finite is a divergence. then are the entries that are wanted next. alter, if not
// nil, may change what enters the group, a batch at a time.
func (o *objective) gradient(ctx context.Context, loss metric.Loss, of group, sum *nn.Vector, entries, then []int, alter func(*nn.Activations) error) (mean float64, err error) {
	if err := sum.Clear(); err != nil {
		return 0, err
	}
	total := 0.0
	err = o.train.batches(ctx, entries, of.neck, then, func(batch *nn.Activations, _ int) error {
		if alter != nil {
			if err := alter(batch); err != nil {
				return err
			}
		}
		return o.addGradient(ctx, loss, batch, sum, &total)
	})
	return finiteMean(total, len(entries), err)
}

// gradientAt is gradient of the cross-entropy of examples that are at the group's
// neck.
func (o *objective) gradientAt(ctx context.Context, a *nn.Activations, sum *nn.Vector) (mean float64, err error) {
	if err := sum.Clear(); err != nil {
		return 0, err
	}
	total := 0.0
	err = o.addGradient(ctx, crossEntropy, a, sum, &total)
	return finiteMean(total, a.Len(), err)
}

// addGradient adds the gradient of the loss summed over examples to sum, and the
// losses to total.
func (o *objective) addGradient(ctx context.Context, loss metric.Loss, a *nn.Activations, sum *nn.Vector, total *float64) error {
	losses := o.room(a.Len())
	err := a.LossGradients(ctx, 0, a.Len(), loss, o.invT, sum, losses, func(int) {})
	for _, l := range losses {
		*total += l
	}
	return err
}

// finiteMean is the mean loss of n examples, and a divergence if it is not finite.
func finiteMean(total float64, n int, err error) (float64, error) {
	mean := total / float64(n)
	if err == nil && !metric.IsFinite(mean) {
		err = &divergence{"the loss of a batch is not finite"}
	}
	return mean, err
}

// room is that for the losses of n examples.
func (o *objective) room(n int) []float64 {
	o.losses = slices.Grow(o.losses[:0], n)[:n]
	return o.losses
}
