package nn

import (
	"context"
	"slices"
)

// results are what a device makes of several batches of examples, their losses and
// perhaps logits. They come back together, so that it goes on from one batch to the next
// without waiting for the host.
type results struct {
	losses, logits Scratch
	read           []float32 // losses that come back
}

// heldLogits bounds how many logits are left on a device before they come back: 16 MiB.
const heldLogits = 4 << 20

// stretch is of how many examples results come back together, whole batches of them.
func (r *results) stretch(m Sizes) int {
	return max(1, heldLogits/(m.Batch()*m.Classes())) * m.Batch()
}

// evaluate is [Activations.Evaluate] of a stretch. The examples up to position to are
// expected next.
func (r *results) evaluate(ctx context.Context, a *Activations, lo, to int, invT float64, losses []float64, logits []float32, report func(examples int)) error {
	m, left := a.model, false
	for done := 0; done < len(losses); done += m.Batch() {
		end := min(done+m.Batch(), len(losses))
		in, err := a.batch(ctx, lo+done, lo+end, to)
		if err != nil {
			return err
		}
		labels := a.labels[lo+done : lo+end]
		if left = m.Device().InPlace(in) == nil; left {
			err = r.leave(ctx, m, a.neck, in, labels, invT, done, len(losses), logits != nil)
		} else {
			var z []float32
			if logits != nil {
				z = logits[done*m.Classes() : end*m.Classes()]
			}
			err = m.Evaluate(ctx, a.neck, in, labels, invT, losses[done:end], z)
		}
		if err != nil {
			return err
		}
		report(end - done)
	}
	if !left {
		return nil
	}
	return r.fetch(m.Device(), losses, logits)
}

// leave has the device compute a batch, and leaves the results there: from example lo on,
// of n in all, with their logits or without.
func (r *results) leave(ctx context.Context, m Model, neck int, in Memory, labels []int, invT float64, lo, n int, logits bool) error {
	d, hi := m.Device(), lo+len(labels)
	if _, err := r.losses.Grow(d, n); err != nil {
		return err
	}
	var z Memory
	if logits {
		if _, err := r.logits.Grow(d, n*m.Classes()); err != nil {
			return err
		}
		z = r.logits.slice(d, lo*m.Classes(), hi*m.Classes())
	}
	return m.Losses(ctx, neck, in, labels, invT, r.losses.slice(d, lo, hi), z)
}

// fetch waits for the results, and reads them.
func (r *results) fetch(d Device, losses []float64, logits []float32) error {
	r.read = slices.Grow(r.read[:0], len(losses))[:len(losses)]
	if err := d.Download(r.read, r.losses.memory); err != nil {
		return err
	}
	for i, x := range r.read {
		losses[i] = float64(x)
	}
	if logits == nil {
		return nil
	}
	return d.Download(logits, r.logits.memory)
}

// free gives the memory back.
func (r *results) free(d Device) {
	r.losses.Free(d)
	r.logits.Free(d)
}
