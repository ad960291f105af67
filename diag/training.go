package diag

import (
	"context"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// A trainingSet is examples that the model was trained on. They follow the moves
// that the others ask for, and choose none.
type trainingSet struct {
	evaluator *evaluator
	start     []float64 // losses at the checkpoint, by position
}

// losses computes the losses with the weights that the model has.
func (s *trainingSet) losses(ctx context.Context) ([]float64, error) {
	losses := make([]float64, s.evaluator.folds.n())
	return losses, s.evaluator.losses(ctx, 0, losses, nil)
}

// gradients returns the gradient of the mean loss of the training examples with
// respect to the wanted weights, up to the factor 1/n: their sum.
func (s *trainingSet) gradients(ctx context.Context, want []int) (*nn.Vector, error) {
	sum, err := nn.NewVector(s.evaluator.model, want)
	if err != nil {
		return nil, err
	}
	return sum, s.evaluator.gradients(ctx, 0, s.evaluator.folds.n(), sum)
}

// trainingGradient is the gradient g_T of the mean loss of the training examples
// with respect to a layer, by its inner products.
type trainingGradient struct {
	folds []perFold // of each tensor, with the summed gradients of the folds
	norm  float64   // ‖g_T‖
}

func newTrainingGradient(lg *layerGradient, sum *nn.Vector, n int) (*trainingGradient, error) {
	g := &trainingGradient{folds: make([]perFold, len(lg.weights))}
	squares := 0.0
	for i, w := range lg.weights {
		square, err := nn.Dot(w, sum, sum)
		if err != nil {
			return nil, err
		}
		squares += square
		for fold := range foldCount {
			product, err := nn.Dot(w, lg.sums[fold], sum)
			if err != nil {
				return nil, err
			}
			g.folds[i][fold] = product / float64(n)
		}
	}
	g.norm = math.Sqrt(squares) / float64(n)
	return g, nil
}

// slope is the derivative at t = 0 of the training loss along d.
func (g *trainingGradient) slope(d direction) float64 {
	sum := 0.0
	for i := range d {
		for fold, c := range d[i] {
			sum += c * g.folds[i][fold]
		}
	}
	return sum
}

// cosine is that between g_T and a combination of the folds' gradients; nil if
// either is zero.
func (g *trainingGradient) cosine(lg *layerGradient, mean perFold) *float64 {
	product := g.norm * lg.norm(mean)
	if product == 0 {
		return nil
	}
	along := make(direction, len(g.folds))
	for i := range along {
		along[i] = mean
	}
	cosine := max(-1, min(1, g.slope(along)/product))
	return metric.Finite(cosine)
}

// training is what a move did to the training examples, whose losses after it are
// given; nil if it did something that is not finite.
func (s *trainingSet) training(g *trainingGradient, lg *layerGradient, d direction, all perFold, after []float64) *Training {
	t := &Training{
		LossBefore: metric.Mean(s.start), LossAfter: metric.Mean(after),
		Change: metric.PairedDrop(after, s.start), Slope: g.slope(d), Cosine: g.cosine(lg, all),
	}
	if !t.Change.IsFinite() || !metric.IsFinite(t.Slope) {
		return nil
	}
	return t
}

// find tells why the loss of a layer with that transfer figure can be recovered;
// empty where one of the two changes is not significant.
func (t *Training) find(unseen *Transfer) Finding {
	switch {
	case unseen == nil || !(unseen.Gain.CI95[0] > 0):
		return ""
	case t.Change.CI95[0] > 0:
		return OverFitted
	case t.Change.CI95[1] < 0:
		return UnderTrained
	}
	return ""
}
