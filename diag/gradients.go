package diag

import (
	"context"
	"math"

	"github.com/modeldoctor/modeldoctor/nn"
)

// foldSums is the gradient of the loss summed over each fold. Sums over batches are
// kept in float32: there are few of them, and four accumulators per weight are what
// bounds the memory of a diagnosis.
type foldSums [foldCount]*nn.Vector

// sumGradients differentiates the loss of all examples once, from the boundary
// on, and returns the gradients of the wanted weights. No batch mixes folds.
func sumGradients(ctx context.Context, e *evaluator, want []int) (sums foldSums, err error) {
	for fold := range sums {
		if sums[fold], err = nn.NewVector(e.model, want); err != nil {
			return sums, err
		}
	}
	for fold, bounds := range e.folds.bounds {
		if err := e.gradients(ctx, bounds[0], bounds[1], sums[fold]); err != nil {
			return sums, err
		}
	}
	return sums, nil
}

// free gives the memory of some weights' gradients back, or of all where none is
// named.
func (s *foldSums) free(weights ...int) {
	for _, sum := range s {
		sum.Free(weights...)
	}
}

// A gram is the inner products of the folds' summed gradients of one tensor.
type gram [foldCount][foldCount]float64

func newGram(weight int, sums foldSums) (g gram, err error) {
	for a := range foldCount {
		for b := a; b < foldCount; b++ {
			if g[a][b], err = nn.Dot(weight, sums[a], sums[b]); err != nil {
				return g, err
			}
			g[b][a] = g[a][b]
		}
	}
	return g, nil
}

// product is the inner product of two combinations of the folds' gradients.
func (g *gram) product(x, y perFold) float64 {
	sum := 0.0
	for a := range foldCount {
		for b := range foldCount {
			sum += x[a] * g[a][b] * y[b]
		}
	}
	return sum
}

// norm is the Euclidean norm of a combination of the folds' gradients.
func (g *gram) norm(x perFold) float64 {
	return math.Sqrt(max(0, g.product(x, x)))
}
