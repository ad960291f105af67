package diag

import (
	"context"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// An evaluator computes losses and gradients of the examples, with the weights
// that the model has. The examples' activations at one neck, the boundary, are held
// and advanced to later necks (the moving cut); a position is an example's place in
// the folds' order.
type evaluator struct {
	model    nn.Model
	folds    *folds
	boundary *nn.Activations
	progress *progress
	invT     float64 // 1/temperature that every loss is taken at
}

// advance moves the boundary to a neck.
func (e *evaluator) advance(ctx context.Context, neck int) error {
	stages := neck - e.boundary.Neck()
	return e.boundary.Advance(ctx, neck, func(examples int) { e.progress.add(examples * stages) })
}

// losses computes the losses of the examples at positions lo to lo + len(out),
// and their logits unless logits is nil.
func (e *evaluator) losses(ctx context.Context, lo int, out []float64, logits []float32) error {
	return e.boundary.Evaluate(ctx, lo, e.invT, out, logits, e.worked(1))
}

// gradients adds the gradient of the loss summed over the examples at positions lo
// to hi to sum.
func (e *evaluator) gradients(ctx context.Context, lo, hi int, sum *nn.Vector) error {
	return e.boundary.LossGradients(ctx, lo, hi, metric.Loss{}, e.invT, sum, nil, e.worked(gradientCost))
}

// worked returns what counts work from the boundary to the logits, which costs so
// many forward passes.
func (e *evaluator) worked(passes int) func(examples int) {
	stages := stagesAbove(e.model, e.boundary.Neck())
	return func(examples int) { e.progress.add(passes * examples * stages) }
}

// stagesAbove is the number of stages from a neck to the logits.
func stagesAbove(m nn.Model, neck int) int { return m.Necks() - 1 - neck }
