package diag

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/metric"
)

// A baseline is what one forward pass over all examples says about the
// checkpoint.
type baseline struct {
	losses     []float64 // of the logits as they came, by position
	confidence []float64 // of the predicted class, in data order
	correct    []bool    // in data order
	chance     float64   // share of right answers that these predictions would have by chance
	hits       int       // number of right answers
	present    int       // number of classes that have examples
	spread     int       // by how much these differ in their number of examples
	notFinite  int       // number of examples whose loss is not finite
	firstBad   int       // the first of them
}

// measureBaseline evaluates all examples from the boundary, which is at the
// images. The logits are returned by position.
func measureBaseline(ctx context.Context, e *evaluator) (*baseline, metric.Logits, error) {
	n, classes, labels := e.folds.n(), e.model.Classes(), e.folds.labels
	logits := metric.NewLogits(classes, labels)
	b := &baseline{
		losses:     make([]float64, n),
		confidence: make([]float64, n),
		correct:    make([]bool, n),
	}
	if err := e.losses(ctx, 0, b.losses, logits.Values); err != nil {
		return nil, metric.Logits{}, err
	}
	predicted := make([]int, n)
	for p, i := range e.folds.order {
		predicted[p], b.confidence[i] = metric.Predict(logits.Row(p), 1)
		b.correct[i] = predicted[p] == labels[p]
		if b.correct[i] {
			b.hits++
		}
		if !metric.IsFinite(b.losses[p]) {
			if b.notFinite == 0 || i < b.firstBad {
				b.firstBad = i
			}
			b.notFinite++
		}
	}
	b.chance, b.present = chance(predicted, labels, classes)
	b.spread = spreadOf(classCounts(labels, classes))
	return b, logits, nil
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
// the mean loss from which searches start, and calibrated the confidence at that
// temperature, in data order.
func (b *baseline) metrics(temperature *Temperature, start float64, calibrated []float64) Metrics {
	n := len(b.losses)
	wrong := float64(n-b.hits) / float64(n)
	return Metrics{
		Loss:        metric.Finite(metric.Mean(b.losses)),
		LossSE:      metric.Finite(metric.NewEstimate(b.losses).SE),
		StartLoss:   metric.Finite(start),
		Error:       &wrong,
		ECE:         metric.Finite(metric.ExpectedCalibrationError(b.confidence, b.correct)),
		Temperature: temperature,
		Reliability: metric.Reliability(b.confidence, b.correct),
		Calibrated:  metric.Reliability(calibrated, b.correct),
	}
}

// notFiniteReason says which losses are not finite.
func (b *baseline) notFiniteReason() string {
	return fmt.Sprintf("the loss of %d of %d examples is not finite, first that of example %d", b.notFinite, len(b.losses), b.firstBad)
}
