package diag

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Checkpoint is what one forward pass over all examples says about the checkpoint.
type Checkpoint struct {
	Losses    Bits[float64] // of the logits as they came, by position
	Correct   Bits[bool]    // in data order
	Chance    float64       // share of right answers that these predictions would have by chance
	Hits      int           // number of right answers
	Present   int           // number of classes that have examples
	Spread    int           // by how much these differ in their number of examples
	NotFinite int           // number of examples whose loss is not finite
	FirstBad  int           // the first of them
}

// measureCheckpoint evaluates all examples from the boundary, which is at the
// images. The logits are returned by position, the confidence in the predicted classes
// in data order.
func measureCheckpoint(ctx context.Context, e *evaluator) (*Checkpoint, metric.Logits, []float64, error) {
	n, classes, labels := e.folds.n(), e.model.Classes(), e.folds.labels
	logits := metric.NewLogits(classes, labels)
	logits.Threads = e.model.Threads()
	b := &Checkpoint{Losses: make([]float64, n), Correct: make([]bool, n)}
	if err := e.losses(ctx, 0, b.Losses, logits.Values); err != nil {
		return nil, metric.Logits{}, nil, err
	}
	predicted, confidence := make([]int, n), make([]float64, n)
	for p, i := range e.folds.order {
		predicted[p], confidence[i] = metric.Predict(logits.Row(p), 1)
		b.Correct[i] = predicted[p] == labels[p]
		if b.Correct[i] {
			b.Hits++
		}
		if !metric.IsFinite(b.Losses[p]) {
			if b.NotFinite == 0 || i < b.FirstBad {
				b.FirstBad = i
			}
			b.NotFinite++
		}
	}
	b.Chance, b.Present = chance(predicted, labels, classes)
	b.Spread = spreadOf(classCounts(labels, classes))
	return b, logits, confidence, nil
}

// confidenceAt is the confidence in the predicted classes, in data order, with the
// logits, which are by position, multiplied by invT.
func confidenceAt(f *folds, logits metric.Logits, invT float64) []float64 {
	confidence := make([]float64, f.n())
	for p, i := range f.order {
		_, confidence[i] = metric.Predict(logits.Row(p), invT)
	}
	return confidence
}

// metrics are the figures of a checkpoint whose losses are all finite; start is
// the mean loss from which searches start, confidence that in the predicted classes, in
// data order, and calibrated the same at that temperature.
func (b *Checkpoint) metrics(temperature *Temperature, start float64, confidence, calibrated []float64) Metrics {
	n := len(b.Losses)
	wrong := float64(n-b.Hits) / float64(n)
	return Metrics{
		Loss:        metric.Finite(metric.Mean(b.Losses)),
		LossSE:      metric.Finite(metric.NewEstimate(b.Losses).SE),
		StartLoss:   metric.Finite(start),
		Error:       &wrong,
		ECE:         metric.Finite(metric.ExpectedCalibrationError(confidence, b.Correct)),
		Temperature: temperature,
		Reliability: metric.Reliability(confidence, b.Correct),
		Calibrated:  metric.Reliability(calibrated, b.Correct),
	}
}

// notFiniteReason says which losses are not finite.
func (b *Checkpoint) notFiniteReason() string {
	return fmt.Sprintf("the loss of %d of %d examples is not finite, first that of example %d", b.NotFinite, len(b.Losses), b.FirstBad)
}
