package diag

import (
	"context"
	"math"

	"github.com/modeldoctor/modeldoctor/internal/vec"
)

// foldSums is the gradient of the loss summed over each fold, by weight. Sums
// over batches are kept in float32: there are few of them, and four accumulators
// per weight are what bounds the memory of a diagnosis.
type foldSums map[int]*[foldCount][]float32

// sumGradients differentiates the loss of all examples once, from the boundary
// on, and returns the gradients of the wanted weights. No batch mixes folds.
func sumGradients(ctx context.Context, e *evaluator, want []int) (foldSums, error) {
	sums := make(foldSums, len(want))
	for _, w := range want {
		sums[w] = new([foldCount][]float32)
		for fold := range foldCount {
			sums[w][fold] = make([]float32, len(e.model.Weight(w)))
		}
	}
	for fold, bounds := range e.folds.bounds {
		add := func(weight int, g []float32) error {
			vec.Add(sums[weight][fold], g)
			return nil
		}
		if err := e.gradients(ctx, bounds[0], bounds[1], want, add); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// A gram is the inner products of the folds' summed gradients of one tensor.
type gram [foldCount][foldCount]float64

func newGram(sums *[foldCount][]float32) gram {
	var g gram
	for a := range foldCount {
		for b := a; b < foldCount; b++ {
			g[a][b] = vec.Dot(sums[a], sums[b])
			g[b][a] = g[a][b]
		}
	}
	return g
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
