package diag

import (
	"context"
	"math"

	"github.com/modeldoctor/modeldoctor/nn"
)

// A path moves a layer from the checkpoint along a direction and computes losses
// there. The boundary must be at the layer's neck. The model is left with the
// moved weights: see [nn.Restore].
type path struct {
	evaluator *evaluator
	gradient  *layerGradient
	direction direction
	moved     *nn.Vector // the layer's tensors at t, which the model reads
	t         float64    // NaN before the first move
}

// newPath returns a path that puts the moved tensors in moved.
func newPath(e *evaluator, lg *layerGradient, d direction, moved *nn.Vector) *path {
	return &path{evaluator: e, gradient: lg, direction: d, moved: moved, t: math.NaN()}
}

// move puts the layer at t.
func (p *path) move(t float64) error {
	if p.t == t {
		return nil
	}
	if err := p.gradient.move(p.moved, p.direction, t); err != nil {
		return err
	}
	p.moved.Override(p.gradient.weights...)
	p.t = t
	return nil
}

// sampled computes the losses at t of the examples at positions lo to lo +
// len(out), and returns what is kept of that.
func (p *path) sampled(ctx context.Context, t float64, lo int, out []float64, s *sample) (sampled, error) {
	if err := p.move(t); err != nil {
		return sampled{}, err
	}
	return p.evaluator.sampled(ctx, lo, out, s)
}
