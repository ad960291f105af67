package diag

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/metric"
)

// A baseline is what one forward pass over all examples says about the
// checkpoint.
type baseline struct {
	logits     metric.Logits // by position
	losses     []float64     // of the logits as they came, by position
	confidence []float64     // of the predicted class, in data order
	correct    []bool        // in data order
	chance     float64       // share of right answers that these predictions would have by chance
	hits       int           // number of right answers
	present    int           // number of classes that have examples
	notFinite  int           // number of examples whose loss is not finite
	firstBad   int           // the first of them
}

// measureBaseline evaluates all examples from the boundary, which is at the
// images.
func (d *diagnosis) measureBaseline(ctx context.Context) (*baseline, error) {
	n, classes := d.deal.n(), d.model.Classes()
	b := &baseline{
		logits:     metric.NewLogits(classes, d.deal.labels),
		losses:     make([]float64, n),
		confidence: make([]float64, n),
		correct:    make([]bool, n),
	}
	for lo := 0; lo < n; lo += d.model.Batch() {
		hi := min(lo+d.model.Batch(), n)
		in, err := d.boundary.batch(lo, hi)
		if err != nil {
			return nil, err
		}
		if err := d.model.Evaluate(ctx, 0, in, d.deal.labels[lo:hi], 1, b.losses[lo:hi], b.logits.Values[lo*classes:hi*classes]); err != nil {
			return nil, err
		}
		d.progress.add((hi - lo) * d.suffix(0))
	}
	predicted := make([]int, n)
	for p, i := range d.deal.order {
		predicted[i], b.confidence[i] = metric.Predict(b.logits.Row(p))
		b.correct[i] = predicted[i] == d.deal.labels[p]
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
	b.chance, b.present = chance(predicted, d.v, classes)
	return b, nil
}

// metrics are the figures of the checkpoint; start is the mean loss from which
// searches start.
func (b *baseline) metrics(temperature *Temperature, start float64) Metrics {
	n := len(b.losses)
	if b.notFinite > 0 {
		return Metrics{}
	}
	wrong := float64(n-b.hits) / float64(n)
	return Metrics{
		Loss:        metric.Finite(metric.Mean(b.losses)),
		StartLoss:   metric.Finite(start),
		Error:       &wrong,
		ECE:         metric.Finite(metric.ExpectedCalibrationError(b.confidence, b.correct)),
		Temperature: temperature,
	}
}

// notFiniteReason says which losses are not finite.
func (b *baseline) notFiniteReason() string {
	return fmt.Sprintf("the loss of %d of %d examples is not finite, first that of example %d", b.notFinite, len(b.losses), b.firstBad)
}
