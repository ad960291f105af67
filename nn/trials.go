package nn

import (
	"context"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Trials evaluate the same examples several times, with other weights each time. A
// device goes on from one to the next at once; the losses come back together.
type Trials struct {
	examples *Activations
	losses   Scratch
	n        int       // trials since the last Means
	read     []float32 // what comes back
	one      []float64 // the losses of a trial
}

// NewTrials returns trials of the examples that a holds at each of them.
func NewTrials(a *Activations) *Trials { return &Trials{examples: a} }

// Begin makes room for so many trials. Those before are forgotten.
func (t *Trials) Begin(most int) error {
	t.n = 0
	_, err := t.losses.Grow(t.examples.model.Device(), most*t.examples.Len())
	return err
}

// Add computes the cross-entropies of logits·invT with the model's weights as they
// are, which may be changed at once.
func (t *Trials) Add(ctx context.Context, invT float64) error {
	a := t.examples
	d, m, n := a.model.Device(), a.model, a.Len()
	for lo := 0; lo < n; lo += m.Batch() {
		hi := min(lo+m.Batch(), n)
		in, err := a.batch(ctx, lo, hi, n)
		if err != nil {
			return err
		}
		at := t.n*n + lo
		if err := m.Losses(ctx, a.neck, in, a.labels[lo:hi], invT, t.losses.slice(d, at, at+hi-lo), nil); err != nil {
			return err
		}
	}
	t.n++
	return nil
}

// Means are the mean cross-entropies of the trials since Begin, in nats.
func (t *Trials) Means() ([]float64, error) {
	n := t.examples.Len()
	t.read = slices.Grow(t.read[:0], t.n*n)[:t.n*n]
	if err := t.examples.model.Device().Download(t.read, t.losses.memory); err != nil {
		return nil, err
	}
	t.one = slices.Grow(t.one[:0], n)[:n]
	means := make([]float64, t.n)
	for k := range means {
		for i := range t.one {
			t.one[i] = float64(t.read[k*n+i])
		}
		means[k] = metric.Mean(t.one)
	}
	return means, nil
}

// Free gives the memory back.
func (t *Trials) Free() { t.losses.Free(t.examples.model.Device()) }
