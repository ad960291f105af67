package diag

import "context"

// An evaluator computes losses and gradients of the examples, with the weights
// that the model has, from the boundary on.
type evaluator struct {
	model    Model
	folds    *folds
	boundary *boundary
	progress *progress
	invT     float64 // 1/temperature that every loss is taken at
}

// advance moves the boundary to a neck.
func (e *evaluator) advance(ctx context.Context, neck int) error {
	stages := neck - e.boundary.neck
	return e.boundary.advance(ctx, neck, func(examples int) { e.progress.add(examples * stages) })
}

// losses computes the losses of the examples at positions lo to lo + len(out),
// and their logits unless logits is nil.
func (e *evaluator) losses(ctx context.Context, lo int, out []float64, logits []float32) error {
	classes := e.model.Classes()
	for done := 0; done < len(out); done += e.model.Batch() {
		end := min(done+e.model.Batch(), len(out))
		in, err := e.boundary.batch(lo+done, lo+end)
		if err != nil {
			return err
		}
		var z []float32
		if logits != nil {
			z = logits[done*classes : end*classes]
		}
		if err := e.model.Evaluate(ctx, e.boundary.neck, in, e.folds.labels[lo+done:lo+end], e.invT, out[done:end], z); err != nil {
			return err
		}
		e.progress.add((end - done) * stagesAbove(e.model, e.boundary.neck))
	}
	return nil
}

// gradients hands sink the gradients of the loss summed over the examples at
// positions lo to hi, batch by batch.
func (e *evaluator) gradients(ctx context.Context, lo, hi int, want []int, sink func(weight int, g []float32) error) error {
	for ; lo < hi; lo += e.model.Batch() {
		end := min(lo+e.model.Batch(), hi)
		in, err := e.boundary.batch(lo, end)
		if err != nil {
			return err
		}
		if err := e.model.Gradients(ctx, e.boundary.neck, in, e.folds.labels[lo:end], e.invT, want, sink); err != nil {
			return err
		}
		e.progress.add(gradientCost * (end - lo) * stagesAbove(e.model, e.boundary.neck))
	}
	return nil
}

// stagesAbove is the number of stages from a neck to the logits.
func stagesAbove(m Model, neck int) int { return m.Necks() - 1 - neck }
