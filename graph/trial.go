package graph

import (
	"context"
	"errors"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Try computes losses and all gradients of a batch of blank images, so that a
// device without the room for it says so at once.
func (r *Runner) Try(ctx context.Context) error {
	images, err := r.device.Alloc(r.Batch() * r.NeckElements(0))
	if err != nil {
		return err
	}
	defer r.device.Free(images)
	labels, losses := make([]int, r.Batch()), make([]float64, r.Batch())
	if err := r.Evaluate(ctx, 0, images, labels, 1, losses, nil); err != nil {
		return err
	}
	all := make([]int, len(r.network.Weights))
	for i := range all {
		all[i] = i
	}
	return r.LossGradients(ctx, metric.Loss{}, 0, images, labels, 1, all, losses, func(int, nn.Memory) error { return nil })
}

// OutOfMemory reports whether an error says that a device has no room. With a
// smaller batch it may have.
func OutOfMemory(err error) bool {
	var full interface{ OutOfMemory() bool }
	return errors.As(err, &full) && full.OutOfMemory()
}
