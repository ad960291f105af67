package nn

import "slices"

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

// room makes room for the results of n examples, with their logits or without.
func (r *results) room(m Model, n int, logits bool) error {
	if _, err := r.losses.Grow(m.Device(), n); err != nil || !logits {
		return err
	}
	_, err := r.logits.Grow(m.Device(), n*m.Classes())
	return err
}

// at is where those of the examples lo to hi go.
func (r *results) at(m Model, lo, hi int, logits bool) (losses, z Memory) {
	losses = r.losses.slice(m.Device(), lo, hi)
	if logits {
		z = r.logits.slice(m.Device(), lo*m.Classes(), hi*m.Classes())
	}
	return losses, z
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
