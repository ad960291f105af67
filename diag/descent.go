package diag

import (
	"context"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// descent is steps of full-batch gradient descent within a layer.
type descent struct {
	*diagnosis
	lg      *layerGradient
	current [][]float32 // the layer's tensors as reached so far
	work    [][]float32 // the tensors at a search point
	sums    [][]float32 // gradient at current, summed over all examples
}

// descend continues the search of the first step, along path, for up to steps
// steps in all. Each goes along the negative gradient at the weights reached so
// far, as long as the line search says. The result's t is the distance from the
// checkpoint to the last point, its points are the [distance, loss] after each
// step.
func (d *diagnosis) descend(ctx context.Context, lg *layerGradient, path direction, first searchResult, steps int) (searchResult, error) {
	if first.status != StatusOK {
		return first, nil
	}
	s := &descent{diagnosis: d, lg: lg}
	defer d.restore(lg.weights)
	for i, w := range lg.weights {
		base := d.model.Weight(w)
		s.current = append(s.current, make([]float32, len(base)))
		s.work = append(s.work, make([]float32, len(base)))
		s.sums = append(s.sums, make([]float32, len(base)))
		place(s.current[i], base, lg.sums[i], path[i], first.t)
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
	s.override(s.current)
	for i := range s.sums {
		clear(s.sums[i])
	}
	index := make(map[int]int, len(s.lg.weights))
	for i, w := range s.lg.weights {
		index[w] = i
	}
	add := func(weight int, g []float32) error {
		accumulate(s.sums[index[weight]], g)
		return nil
	}
	n := s.deal.n()
	if err := s.differentiate(ctx, 0, n, s.lg.weights, add); err != nil {
		return searchResult{}, err
	}
	squares := 0.0
	for _, g := range s.sums {
		squares += dot(g, g)
	}
	sumNorm := math.Sqrt(squares)
	slope := -sumNorm / float64(n)
	switch {
	case !metric.IsFinite(slope):
		return searchResult{status: StatusDiverged, reason: "the gradient is not finite"}, nil
	case -slope*max(s.lg.wNorm, 1) <= noisyLayer*math.Abs(loss) || slope == 0:
		return searchResult{status: StatusFlat, reason: "the gradient is zero"}, nil
	}
	losses := make([]float64, n)
	phi := func(t float64) (float64, error) {
		s.place(s.work, -t/sumNorm)
		s.override(s.work)
		err := s.evaluate(ctx, 0, losses)
		return metric.Mean(losses), err
	}
	found, err := lineSearch(phi, loss, slope)
	if err == nil && found.status == StatusOK {
		s.place(s.current, -found.t/sumNorm)
	}
	return found, err
}

// place writes current + c·sums to dst, which may be current.
func (s *descent) place(dst [][]float32, c float64) {
	for i, base := range s.current {
		for j, g := range s.sums[i] {
			dst[i][j] = float32(float64(base[j]) + c*float64(g))
		}
	}
}

func (s *descent) override(tensors [][]float32) {
	for i, w := range s.lg.weights {
		s.model.Override(w, tensors[i])
	}
}

// distance is ‖Δw‖ from the checkpoint to current.
func (s *descent) distance() float64 {
	squares := 0.0
	for i, w := range s.lg.weights {
		for j, base := range s.model.Weight(w) {
			moved := float64(s.current[i][j]) - float64(base)
			squares += moved * moved
		}
	}
	return math.Sqrt(squares)
}
