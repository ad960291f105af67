package diag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// A Candidate is a way of preprocessing the same images.
type Candidate struct {
	Name     string
	Examples nn.Examples
}

// A Score is what a model makes of a candidate.
type Score struct {
	Name   string
	N      int      // number of examples
	Hits   int      // number of right answers
	Chance float64  // share of right answers that guessing would get
	Loss   *float64 // mean cross-entropy in nats; nil if it is not finite
	// Calibrated are the cross-entropies of logits divided by the temperature that
	// fits these examples best, one per example, in an order that is the same for
	// all candidates; nil if they are not finite.
	Calibrated []float64
}

// CalibratedLoss is the mean of Calibrated, infinity where there is none.
func (s Score) CalibratedLoss() float64 {
	if s.Calibrated == nil {
		return math.Inf(1)
	}
	return metric.Mean(s.Calibrated)
}

// BeatsChance reports whether the answers are right too often for guesses, as
// rule MD003 understands it.
func (s Score) BeatsChance() bool { return beatsChance(s.Hits, s.N, s.Chance) }

// A ChanceError says that no candidate makes the model better than guessing, so
// that none can be called detected.
type ChanceError struct {
	Best    Score // the candidate with the lowest loss
	Tried   int   // number of candidates
	Classes int
}

func (e *ChanceError) Error() string {
	loss := "a loss that is not finite"
	if e.Best.Loss != nil {
		loss = fmt.Sprintf("loss %.3g, guessing has %.3g", *e.Best.Loss, math.Log(float64(e.Classes)))
	}
	return fmt.Sprintf("no preprocessing detected: with none of %d is the model better than guessing (best: %s, %d of %d right, %s)",
		e.Tried, e.Best.Name, e.Best.Hits, e.Best.N, loss)
}

// Detect scores candidates, all of which hold the same images in the same
// order, and returns the scores by ascending calibrated loss, so that a candidate
// does not win because it happens to make an over-confident model less so: the
// winner, the runner-up, and so on. Candidates with equal losses keep their order.
//
// If with no candidate the model is better than guessing, Detect returns a
// [*ChanceError] and the scores. Only the answers count for this, not the loss,
// because a model that is over-confident may have a loss above ln(classes) and
// still be right far more often than chance; where some candidates are better
// than guessing, those come first.
func Detect(ctx context.Context, m nn.Model, candidates []Candidate) ([]Score, error) {
	scores := make([]Score, 0, len(candidates))
	for _, c := range candidates {
		if err := validate(m, c.Examples, nil); err != nil {
			return nil, fmt.Errorf("preprocessing %s: %w", c.Name, err)
		}
		score, err := scoreCandidate(ctx, m, c)
		if err != nil {
			return nil, fmt.Errorf("preprocessing %s: %w", c.Name, err)
		}
		scores = append(scores, score)
	}
	slices.SortStableFunc(scores, func(a, b Score) int {
		if x, y := a.BeatsChance(), b.BeatsChance(); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.CalibratedLoss(), b.CalibratedLoss())
	})
	if len(scores) > 0 && !scores[0].BeatsChance() {
		return scores, &ChanceError{Best: scores[0], Tried: len(scores), Classes: m.Classes()}
	}
	return scores, nil
}

// scoreCandidate evaluates one candidate.
func scoreCandidate(ctx context.Context, m nn.Model, c Candidate) (Score, error) {
	f := newFolds(labelsOf(c.Examples))
	boundary := nn.Open(m, c.Examples, f.order, nn.Holding{}) // each image is read once
	b, logits, _, err := measureCheckpoint(ctx, &evaluator{model: m, folds: f, boundary: boundary, progress: &progress{}, invT: 1})
	if err := errors.Join(err, boundary.Close()); err != nil {
		return Score{}, err
	}
	score := Score{Name: c.Name, N: f.n(), Hits: b.Hits, Chance: b.Chance, Loss: metric.Finite(metric.Mean(b.Losses))}
	if t, ok := logits.FitTemperature(); ok && score.Loss != nil {
		score.Calibrated = logits.Losses(1 / t)
	}
	return score, nil
}
