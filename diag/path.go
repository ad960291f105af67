package diag

import (
	"context"
	"math"
)

// A path moves a layer from the checkpoint along a direction and computes losses
// there. The boundary must be at the layer's neck. The model is left with the
// moved weights: see restore.
type path struct {
	evaluator *evaluator
	gradient  *layerGradient
	direction direction
	moved     [][]float32 // the layer's tensors at t, which the model reads
	t         float64     // NaN before the first move
}

// newPath returns a path that puts the moved tensors in moved.
func newPath(e *evaluator, lg *layerGradient, d direction, moved [][]float32) *path {
	return &path{evaluator: e, gradient: lg, direction: d, moved: moved, t: math.NaN()}
}

// move puts the layer at t.
func (p *path) move(t float64) {
	if p.t == t {
		return
	}
	m := p.evaluator.model
	for i, w := range p.gradient.weights {
		moveTensor(p.moved[i], m.Weight(w), p.gradient.sums[i], p.direction[i], t)
		m.Override(w, p.moved[i])
	}
	p.t = t
}

// losses computes the losses at t of the examples at positions lo to lo +
// len(out).
func (p *path) losses(ctx context.Context, t float64, lo int, out []float64) error {
	p.move(t)
	return p.evaluator.losses(ctx, lo, out, nil)
}

// restore gives the model the checkpoint's values of weights back.
func restore(m Model, weights []int) {
	for _, w := range weights {
		m.Override(w, nil)
	}
}

// likeWeights returns room for a value of each weight.
func likeWeights(m Model, weights []int) [][]float32 {
	room := make([][]float32, len(weights))
	for i, w := range weights {
		room[i] = make([]float32, len(m.Weight(w)))
	}
	return room
}
