package graph

import (
	"context"
	"errors"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Try computes losses, and the gradients of weights, of a batch of blank images, so
// that a device without the room for it says so at once.
func (r *Runner) Try(ctx context.Context, weights []int) error {
	images, err := r.device.Alloc(r.Batch() * r.NeckElements(0))
	if err != nil {
		return err
	}
	defer r.device.Free(images)
	labels, losses := make([]int, r.Batch()), make([]float64, r.Batch())
	if err := r.Evaluate(ctx, 0, images, labels, 1, losses, nil); err != nil {
		return err
	}
	return r.LossGradients(ctx, metric.Loss{}, 0, images, labels, 1, weights, losses, func(int, nn.Memory) error { return nil })
}

// OutOfMemory reports whether an error says that a device has no room. With a
// smaller batch it may have.
func OutOfMemory(err error) bool {
	var full interface{ OutOfMemory() bool }
	return errors.As(err, &full) && full.OutOfMemory()
}
