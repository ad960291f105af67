package pol

import (
	"context"
	"errors"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Evaluation is what one version of a model makes of a set of examples.
type Evaluation struct {
	Logits metric.Logits // in data order
	Losses []float64     // nats
}

// newEvaluation returns an evaluation of a model with room for n examples.
func newEvaluation(m nn.Model, n int) *Evaluation {
	classes := m.Classes()
	return &Evaluation{
		metric.Logits{Classes: classes, Values: make([]float32, 0, n*classes), Labels: make([]int, 0, n), Threads: m.Threads()},
		make([]float64, 0, n),
	}
}

// Evaluate runs a model on all examples. progress, if not nil, is told before each
// batch of the examples that are done.
func Evaluate(ctx context.Context, m nn.Model, examples nn.Examples, progress func(done, total int)) (*Evaluation, error) {
	c := newCache(m, "example", examples, 0)
	e, err := c.evaluate(ctx, 1, progress)
	if err = errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	return e, nil
}

// add evaluates the examples at positions lo to hi.
func (e *Evaluation) add(ctx context.Context, a *nn.Activations, lo, hi int, invT float64) error {
	done := len(e.Losses)
	end := done + hi - lo
	classes := e.Logits.Classes
	e.Losses = e.Losses[:end]
	e.Logits.Values = e.Logits.Values[:end*classes]
	e.Logits.Labels = append(e.Logits.Labels, a.Labels()[lo:hi]...)
	return a.Evaluate(ctx, lo, invT, e.Losses[done:], e.Logits.Values[done*classes:], func(int) {})
}

// Figures are loss, error and calibration error. The last is that of undivided
// logits, whatever the losses were taken at.
func (e *Evaluation) Figures() metric.Figures { return e.Logits.Figures(e.Losses) }

// Drop estimates by how much loss and error fall from e to after, which is the
// same examples seen by another version: the means of the paired differences.
func (e *Evaluation) Drop(after *Evaluation) (loss, wrong metric.Estimate) {
	return metric.PairedDrop(e.Losses, after.Losses), metric.PairedDrop(e.wrong(), after.wrong())
}

// wrong is 1 for each example whose answer is wrong, and 0 otherwise.
func (e *Evaluation) wrong() []float64 {
	wrong := make([]float64, e.Logits.Len())
	for i, label := range e.Logits.Labels {
		if class, _ := metric.Predict(e.Logits.Row(i), 1); class != label {
			wrong[i] = 1
		}
	}
	return wrong
}
