package main

import (
	"context"
	"errors"
	"math"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/internal/stratify"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// The halves of a validation set.
const (
	halfA = iota
	halfB
	halves
)

// A move is one of the four of a transfer figure: along the gradient of one half,
// by a length that a quarter of the other half chose. It was counted on that
// half's other quarter.
type move struct {
	directs int
	length  float64
	counted []int // positions in V
}

// moves computes again, from the definition and without package diag, where a
// diagnosis moved layers to.
type moves struct {
	model     nn.Model
	direction diag.Direction
	invT      float64
	quarters  [][]int            // positions of A1, B1, A2, B2 in V
	sums      [halves]*nn.Vector // gradients of the loss summed over the halves
}

// newMoves takes the gradients of both halves of V at a temperature, for some
// layers.
func newMoves(ctx context.Context, m nn.Model, v *examples, layers []diag.Layer, kind diag.Direction, temperature float64) (mv *moves, err error) {
	mv = &moves{model: m, direction: kind, invT: 1 / temperature, quarters: stratify.Folds(v.labels, 4)}
	var weights []int
	for _, l := range layers {
		weights = append(weights, l.Weights...)
	}
	for half := range mv.sums {
		if mv.sums[half], err = nn.NewVector(m, weights); err != nil {
			mv.free()
			return nil, err
		}
		images := open(m, v, append(append([]int(nil), mv.quarters[half]...), mv.quarters[half+2]...), nil)
		err = images.LossGradients(ctx, 0, images.Len(), metric.Loss{}, mv.invT, mv.sums[half], nil, func(int) {})
		if err = errors.Join(err, images.Close()); err != nil {
			mv.free()
			return nil, err
		}
	}
	return mv, nil
}

// open returns the activations of some images, which can be advanced to the necks
// of layers.
func open(m nn.Model, v *examples, order []int, layers []diag.Layer) *nn.Activations {
	h := nn.Holding{}
	for _, l := range layers {
		if l.Neck > 0 {
			h.Necks = append(h.Necks, l.Neck)
		}
	}
	return nn.Open(m, v, order, h)
}

func (mv *moves) free() {
	for _, sum := range mv.sums {
		sum.Free()
	}
}

// of lists the four moves of a transfer figure.
func (mv *moves) of(s diag.Steps) []move {
	return []move{
		{halfA, s.B1.T, mv.quarters[3]},
		{halfA, s.B2.T, mv.quarters[1]},
		{halfB, s.A1.T, mv.quarters[2]},
		{halfB, s.A2.T, mv.quarters[0]},
	}
}

// noisyTensor is the share of the largest gradient of a layer's tensors up to which
// a gradient is noise.
const noisyTensor = 1e-6

// scales are what each tensor's gradient, summed over a half, is multiplied by per
// unit of length: −1/‖g‖ over the layer or, balanced, −‖w‖/‖g‖ of the tensor.
func (mv *moves) scales(l diag.Layer, half int) ([]float64, error) {
	start, err := nn.Checkpoint(mv.model, l.Weights)
	if err != nil {
		return nil, err
	}
	norms := make([]float64, len(l.Weights)) // of the gradients
	scales := make([]float64, len(l.Weights))
	largest, squares := 0.0, 0.0
	for i, w := range l.Weights {
		square, err := nn.Dot(w, mv.sums[half], mv.sums[half])
		if err != nil {
			return nil, err
		}
		norms[i] = math.Sqrt(square)
		largest, squares = max(largest, norms[i]), squares+square
	}
	for i, w := range l.Weights {
		switch {
		case mv.direction == diag.Line:
			scales[i] = -1 / math.Sqrt(squares)
		case norms[i] > noisyTensor*largest:
			square, err := nn.Dot(w, start, start)
			if err != nil {
				return nil, err
			}
			scales[i] = -math.Sqrt(square) / norms[i]
		}
	}
	return scales, nil
}

// losses are those of images, whose activations are at the layer's neck, after a
// move of the layer.
func (mv *moves) losses(ctx context.Context, images *nn.Activations, l diag.Layer, m move) ([]float64, error) {
	losses := make([]float64, images.Len())
	defer nn.Restore(mv.model, l.Weights...)
	if m.length > 0 {
		scales, err := mv.scales(l, m.directs)
		if err != nil {
			return nil, err
		}
		start, err := nn.Checkpoint(mv.model, l.Weights)
		if err != nil {
			return nil, err
		}
		moved, err := nn.NewVector(mv.model, l.Weights)
		if err != nil {
			return nil, err
		}
		defer moved.Free()
		for i, w := range l.Weights {
			if err := moved.Combine(w, start, []float64{m.length * scales[i]}, mv.sums[m.directs]); err != nil {
				return nil, err
			}
		}
		moved.Override(l.Weights...)
	}
	return losses, images.Evaluate(ctx, 0, mv.invT, losses, nil, func(int) {})
}

// gain is what the four moves of a layer take off the loss of images, on average as
// the transfer figure weighs them. start is the images' losses before.
func (mv *moves) gain(ctx context.Context, images *nn.Activations, l diag.Layer, steps diag.Steps, start []float64) (metric.Estimate, error) {
	n := 0
	for _, quarter := range mv.quarters {
		n += len(quarter)
	}
	gains := make([]float64, len(start))
	known := map[[2]float64][]float64{} // two quarters may choose the same length
	for _, m := range mv.of(steps) {
		if m.length == 0 {
			continue
		}
		key := [2]float64{float64(m.directs), m.length}
		if known[key] == nil {
			losses, err := mv.losses(ctx, images, l, m)
			if err != nil {
				return metric.Estimate{}, err
			}
			known[key] = losses
		}
		share := float64(len(m.counted)) / float64(n)
		for i, loss := range known[key] {
			gains[i] += share * (start[i] - loss)
		}
	}
	return metric.NewEstimate(gains), nil
}
