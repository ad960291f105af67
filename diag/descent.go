package diag

import (
	"context"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// descent is steps of full-batch gradient descent within a layer.
type descent struct {
	evaluator *evaluator
	weights   []int
	wNorm     float64    // ‖w‖ at the checkpoint
	start     *nn.Vector // the checkpoint
	current   *nn.Vector // the layer's tensors as reached so far
	moved     *nn.Vector // the tensors at a search point
	sum       *nn.Vector // gradient at current, summed over all examples
}

// descend continues the search of the first step, along d, for up to steps steps
// in all. Each goes along the negative gradient at the weights reached so far, as
// long as the line search says. moved is room for the layer's tensors. The
// result's t is the distance from the checkpoint to the last point, its points
// are the [distance, loss] after each step. arrived is called while the model has
// the weights of the last point; afterwards it reads no vector of the descent.
func descend(ctx context.Context, e *evaluator, lg *layerGradient, d direction, first searchResult, steps int, moved *nn.Vector, arrived func() error) (searchResult, error) {
	s := &descent{evaluator: e, weights: lg.weights, wNorm: lg.wNorm, start: lg.start, moved: moved}
	var err error
	if s.current, err = nn.NewVector(e.model, lg.weights); err != nil {
		return searchResult{}, err
	}
	defer s.current.Free()
	if s.sum, err = nn.NewVector(e.model, lg.weights); err != nil {
		return searchResult{}, err
	}
	defer s.sum.Free()
	defer nn.Restore(e.model, lg.weights...) // before current, which it may read, is freed
	if err := lg.move(s.current, d, first.t); err != nil {
		return searchResult{}, err
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
		if result.t, err = nn.Distance(s.current, s.start); err != nil {
			return searchResult{}, err
		}
		result.value = next.value
		result.points = append(result.points, [2]float64{result.t, result.value})
	}
	s.current.Override(s.weights...)
	return result, arrived()
}

// step moves current along its negative gradient if that lowers the loss.
func (s *descent) step(ctx context.Context, loss float64) (searchResult, error) {
	n := s.evaluator.folds.n()
	s.current.Override(s.weights...)
	if err := s.sum.Clear(); err != nil {
		return searchResult{}, err
	}
	if err := s.evaluator.gradients(ctx, 0, n, s.sum); err != nil {
		return searchResult{}, err
	}
	squares := 0.0
	for _, w := range s.weights {
		square, err := nn.Dot(w, s.sum, s.sum)
		if err != nil {
			return searchResult{}, err
		}
		squares += square
	}
	sumNorm := math.Sqrt(squares)
	slope := -sumNorm / float64(n)
	switch {
	case !metric.IsFinite(slope):
		return searchResult{status: StatusDiverged, reason: "the gradient is not finite"}, nil
	case -slope*max(s.wNorm, 1) <= noisyLayer*math.Abs(loss) || slope == 0:
		return searchResult{status: StatusFlat, reason: "the gradient is zero"}, nil
	}
	losses := make([]float64, n)
	phi := func(t float64) (float64, error) {
		if err := s.move(s.moved, -t/sumNorm); err != nil {
			return 0, err
		}
		s.moved.Override(s.weights...)
		err := s.evaluator.losses(ctx, 0, losses, nil)
		return metric.Mean(losses), err
	}
	found, err := lineSearch(phi, curve{phi0: loss, slope: slope}, usualProbe(loss, slope))
	if err == nil && found.status == StatusOK {
		err = s.move(s.current, -found.t/sumNorm)
	}
	return found, err
}

// move sets dst, which may be current, to current + c·sum.
func (s *descent) move(dst *nn.Vector, c float64) error {
	for _, w := range s.weights {
		if err := dst.Combine(w, s.current, []float64{c}, s.sum); err != nil {
			return err
		}
	}
	return nil
}
