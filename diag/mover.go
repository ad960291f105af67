package diag

import "context"

// A mover puts a layer at points along a direction and computes losses there.
// The boundary must be at the layer's neck.
type mover struct {
	*diagnosis
	lg   *layerGradient
	work [][]float32 // the moved tensors, which the model reads
	base [][]float32 // where t = 0 is

	direction direction // of the point that work holds
	t         float64
	placed    bool
}

// newMover returns a mover from the checkpoint. The caller must restore
// the layer's weights in the end.
func newMover(d *diagnosis, lg *layerGradient) *mover {
	m := &mover{diagnosis: d, lg: lg}
	for _, w := range lg.weights {
		m.base = append(m.base, d.model.Weight(w))
		m.work = append(m.work, make([]float32, len(d.model.Weight(w))))
	}
	return m
}

// restore gives the model the checkpoint's values of weights back.
func (d *diagnosis) restore(weights []int) {
	for _, w := range weights {
		d.model.Override(w, nil)
	}
}

// along makes d the direction of the points to come.
func (m *mover) along(d direction) {
	m.direction, m.placed = d, false
}

// move puts the layer at t.
func (m *mover) move(t float64) {
	if m.placed && m.t == t {
		return
	}
	for i, w := range m.lg.weights {
		place(m.work[i], m.base[i], m.lg.sums[i], m.direction[i], t)
		m.model.Override(w, m.work[i])
	}
	m.t, m.placed = t, true
}

// losses computes the losses at t of the examples at positions lo to lo +
// len(out).
func (m *mover) losses(ctx context.Context, t float64, lo int, out []float64) error {
	m.move(t)
	return m.evaluate(ctx, lo, out)
}

// evaluate computes the losses of the examples at positions lo to lo + len(out)
// with the weights as they are, from the boundary on.
func (d *diagnosis) evaluate(ctx context.Context, lo int, out []float64) error {
	for done := 0; done < len(out); done += d.model.Batch() {
		end := min(done+d.model.Batch(), len(out))
		in, err := d.boundary.batch(lo+done, lo+end)
		if err != nil {
			return err
		}
		if err := d.model.Evaluate(ctx, d.boundary.neck, in, d.deal.labels[lo+done:lo+end], d.invT, out[done:end], nil); err != nil {
			return err
		}
		d.progress.add((end - done) * d.suffix(d.boundary.neck))
	}
	return nil
}
