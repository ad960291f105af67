package diag

import (
	"context"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/internal/vec"
	"github.com/modeldoctor/modeldoctor/metric"
)

// descent is steps of full-batch gradient descent within a layer.
type descent struct {
	evaluator *evaluator
	weights   []int
	wNorm     float64     // ‖w‖ at the checkpoint
	current   [][]float32 // the layer's tensors as reached so far
	moved     [][]float32 // the tensors at a search point
	sums      [][]float32 // gradient at current, summed over all examples
}

// descend continues the search of the first step, along d, for up to steps steps
// in all. Each goes along the negative gradient at the weights reached so far, as
// long as the line search says. moved is room for the layer's tensors. The
// result's t is the distance from the checkpoint to the last point, its points
// are the [distance, loss] after each step. The model is left with the moved
// weights: see restore.
func descend(ctx context.Context, e *evaluator, lg *layerGradient, d direction, first searchResult, steps int, moved [][]float32) (searchResult, error) {
	if first.status != StatusOK {
		return first, nil
	}
	s := &descent{
		evaluator: e, weights: lg.weights, wNorm: lg.wNorm, moved: moved,
		current: likeWeights(e.model, lg.weights), sums: likeWeights(e.model, lg.weights),
	}
	for i, w := range lg.weights {
		moveTensor(s.current[i], e.model.Weight(w), lg.sums[i], d[i], first.t)
	}
	result := first
	result.points = [][2]float64{{0, first.points[0][1]}, {first.t, first.value}}
	for taken := 1; taken < steps; taken++ {
		next, err := s.step(ctx, result.value)
		if err != nil {
			return searchResult{}, err
		}
		result.evaluations += next.evaluations
		if next.status != StatusOK {
			result.reason = fmt.Sprintf("%d of %d steps taken: %s", taken, steps, next.reason)
			break
		}
		result.t, result.value = s.distance(), next.value
		result.points = append(result.points, [2]float64{result.t, result.value})
	}
	return result, nil
}

// step moves current along its negative gradient if that lowers the loss.
func (s *descent) step(ctx context.Context, loss float64) (searchResult, error) {
	if err := s.sumGradients(ctx); err != nil {
		return searchResult{}, err
	}
	squares := 0.0
	for _, g := range s.sums {
		squares += vec.Dot(g, g)
	}
	sumNorm := math.Sqrt(squares)
	n := s.evaluator.folds.n()
	slope := -sumNorm / float64(n)
	switch {
	case !metric.IsFinite(slope):
		return searchResult{status: StatusDiverged, reason: "the gradient is not finite"}, nil
	case -slope*max(s.wNorm, 1) <= noisyLayer*math.Abs(loss) || slope == 0:
		return searchResult{status: StatusFlat, reason: "the gradient is zero"}, nil
	}
	losses := make([]float64, n)
	phi := func(t float64) (float64, error) {
		s.move(s.moved, -t/sumNorm)
		s.override(s.moved)
		err := s.evaluator.losses(ctx, 0, losses, nil)
		return metric.Mean(losses), err
	}
	found, err := lineSearch(phi, loss, slope)
	if err == nil && found.status == StatusOK {
		s.move(s.current, -found.t/sumNorm)
	}
	return found, err
}

// sumGradients takes the gradient at current.
func (s *descent) sumGradients(ctx context.Context) error {
	s.override(s.current)
	index := make(map[int]int, len(s.weights))
	for i, w := range s.weights {
		index[w] = i
		clear(s.sums[i])
	}
	return s.evaluator.gradients(ctx, 0, s.evaluator.folds.n(), s.weights, func(weight int, g []float32) error {
		vec.Add(s.sums[index[weight]], g)
		return nil
	})
}

// move writes current + c·sums to dst, which may be current.
func (s *descent) move(dst [][]float32, c float64) {
	for i, base := range s.current {
		vec.AddScaled(dst[i], base, c, s.sums[i])
	}
}

func (s *descent) override(tensors [][]float32) {
	for i, w := range s.weights {
		s.evaluator.model.Override(w, tensors[i])
	}
}

// distance is ‖Δw‖ from the checkpoint to current.
func (s *descent) distance() float64 {
	squares := 0.0
	for i, w := range s.weights {
		for j, base := range s.evaluator.model.Weight(w) {
			moved := float64(s.current[i][j]) - float64(base)
			squares += moved * moved
		}
	}
	return math.Sqrt(squares)
}
