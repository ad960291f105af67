package nn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/internal/spill"
	"github.com/modeldoctor/modeldoctor/metric"
)

// Holding says which activations of a set of examples are held, and where.
type Holding struct {
	// At is the neck that the activations begin at. Those above the images are
	// computed at each use, for as long as they stay there.
	At int
	// Necks are those where activations are held. They can be advanced to no other.
	Necks []int
	// Images says that the images are held as well, if that needs no file; if it
	// does they are read again at each use.
	Images bool
	// Limit is the number of bytes that may be held in memory; 0: no limit. More
	// lies in a temporary file in TempDir, or in the system's place.
	Limit   int64
	TempDir string
	// Name is what an example is called in errors; empty: "example".
	Name string
}

// Activations are those of some examples at one neck, and move to later necks.
// Examples are addressed by their position, from 0 to Len()-1.
//
// All necks share one place, as large as the largest needs: what is advanced takes
// the place of what it was computed from. Activations that are not held are
// computed at each use, to the same bits, because what a network makes of an
// example does not depend on the others in its batch.
type Activations struct {
	model    Model
	examples Examples
	order    []int // example at each position
	labels   []int // and its label
	holding  Holding

	neck     int
	held     bool
	memory   Memory // of capacity elements; nil until it is needed
	capacity int
	file     *spill.File // in place of memory

	// Room for one batch each, which grows as needed.
	in, images, out scratch
	rows            []int
	host            []float32 // on its way to or from a device
	recomputed      time.Duration
}

// Open returns the activations of the examples of the given order. Nothing is read
// before it is needed.
func Open(m Model, v Examples, order []int, h Holding) *Activations {
	if h.Name == "" {
		h.Name = "example"
	}
	a := &Activations{model: m, examples: v, order: order, labels: make([]int, len(order)), holding: h, neck: h.At}
	for p, i := range order {
		a.labels[p] = v.Label(i)
	}
	largest := 0
	for _, k := range h.Necks {
		largest = max(largest, m.NeckElements(k))
	}
	fits := func(elements int) bool {
		return h.Limit <= 0 || int64(len(order))*int64(elements)*spill.ElementBytes <= h.Limit
	}
	if all := max(largest, m.NeckElements(0)); h.Images && fits(all) {
		a.holding.Necks = append(slices.Clone(h.Necks), 0)
		largest = all
	}
	a.capacity = len(order) * largest
	if !fits(largest) {
		a.file = &spill.File{TempDir: h.TempDir}
	}
	return a
}

// NewActivations returns room for examples that [Activations.Gather] brings.
func NewActivations(m Model) *Activations { return &Activations{model: m} }

// Len is the number of examples.
func (a *Activations) Len() int { return len(a.labels) }

// Labels are the classes of the examples, by position. They must not be changed.
func (a *Activations) Labels() []int { return a.labels }

// Neck is where the activations are.
func (a *Activations) Neck() int { return a.neck }

// Held is what the activations take in memory, and in a file, in bytes, once they
// are there.
func (a *Activations) Held() (memory, file int64) {
	bytes := int64(a.capacity) * spill.ElementBytes
	if a.file != nil {
		return 0, bytes
	}
	return bytes, 0
}

// Recomputed is the time that was spent on activations because they are not held.
func (a *Activations) Recomputed() time.Duration { return a.recomputed }

// Load reads the images, where they are to be held. report is told of examples as
// they are done.
func (a *Activations) Load(ctx context.Context, report func(examples int)) error {
	if a.neck != 0 || a.held || !a.holds(0) {
		return nil
	}
	size := a.model.NeckElements(0)
	for lo := 0; lo < a.Len(); lo += a.model.Batch() {
		rows := a.span(lo, min(lo+a.model.Batch(), a.Len()))
		dst, err := a.destination(lo*size, len(rows)*size)
		if err != nil {
			return err
		}
		if err := a.read(ctx, rows, dst); err != nil {
			return err
		}
		if err := a.keep(lo*size, dst, len(rows)*size); err != nil {
			return err
		}
		report(len(rows))
	}
	a.held = true
	return nil
}

// Advance moves the activations to neck to, if they are not there already, and
// tells report of examples as they are done. After an error they are of no use.
func (a *Activations) Advance(ctx context.Context, to int, report func(examples int)) error {
	if to == a.neck {
		return nil
	}
	if !a.holds(to) {
		panic(fmt.Sprintf("nn: there is no room for activations at neck %d", to))
	}
	n, size := a.Len(), a.model.NeckElements(to)
	// Output overwrites input. Where examples grow, the last ones go first, so
	// that nothing is overwritten before it is read.
	backward := a.held && size > a.model.NeckElements(a.neck)
	for done := 0; done < n; {
		count := min(a.model.Batch(), n-done)
		lo := done
		if backward {
			lo = n - done - count
		}
		in, err := a.batch(ctx, lo, lo+count)
		if err != nil {
			return err
		}
		out, err := a.destination(lo*size, count*size)
		if err != nil {
			return err
		}
		if err := a.model.Advance(ctx, a.neck, to, in, out, count); err != nil {
			return err
		}
		if err := a.keep(lo*size, out, count*size); err != nil {
			return err
		}
		done += count
		report(count)
	}
	a.neck, a.held = to, true
	if a.file == nil { // from now on batches are read in place
		a.model.Device().Free(a.in.memory)
		a.in = scratch{}
	}
	return nil
}

// Gather takes examples of from at the given positions, brought to a neck, from's
// own or a later one, with the model's weights as they are. a was made by
// [NewActivations].
func (a *Activations) Gather(ctx context.Context, from *Activations, positions []int, neck int) error {
	size := a.model.NeckElements(neck)
	a.neck, a.held, a.labels = neck, true, a.labels[:0]
	for _, p := range positions {
		a.labels = append(a.labels, from.labels[p])
	}
	if need := len(positions) * size; a.capacity < need || a.memory == nil {
		a.model.Device().Free(a.memory)
		a.memory, a.capacity = nil, need
	}
	for lo := 0; lo < len(positions); lo += a.model.Batch() {
		some := positions[lo:min(lo+a.model.Batch(), len(positions))]
		dst, err := a.destination(lo*size, len(some)*size)
		if err != nil {
			return err
		}
		if neck == from.neck {
			err = from.fetch(ctx, some, dst)
		} else {
			var in Memory
			if in, err = from.in.grow(from.model, len(some)*from.model.NeckElements(from.neck)); err != nil {
				return err
			}
			if err = from.fetch(ctx, some, in); err == nil {
				err = a.model.Advance(ctx, from.neck, neck, in, dst, len(some))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Evaluate computes the cross-entropy of logits·invT, in nats, of the examples at
// positions lo to lo + len(losses), and their logits unless logits is nil. report
// is told of examples as they are done.
func (a *Activations) Evaluate(ctx context.Context, lo int, invT float64, losses []float64, logits []float32, report func(examples int)) error {
	classes := a.model.Classes()
	for done := 0; done < len(losses); done += a.model.Batch() {
		end := min(done+a.model.Batch(), len(losses))
		in, err := a.batch(ctx, lo+done, lo+end)
		if err != nil {
			return err
		}
		var z []float32
		if logits != nil {
			z = logits[done*classes : end*classes]
		}
		if err := a.model.Evaluate(ctx, a.neck, in, a.labels[lo+done:lo+end], invT, losses[done:end], z); err != nil {
			return err
		}
		report(end - done)
	}
	return nil
}

// LossGradients adds the gradient of a loss of logits·invT, summed over the
// examples at positions lo to hi, to sum. Unless losses is nil it gets the loss of
// each. report is told of examples as they are done.
func (a *Activations) LossGradients(ctx context.Context, lo, hi int, loss metric.Loss, invT float64, sum *Vector, losses []float64, report func(examples int)) error {
	for start := lo; start < hi; start += a.model.Batch() {
		end := min(start+a.model.Batch(), hi)
		in, err := a.batch(ctx, start, end)
		if err != nil {
			return err
		}
		var l []float64
		if losses != nil {
			l = losses[start-lo : end-lo]
		}
		if err := a.model.LossGradients(ctx, loss, a.neck, in, a.labels[start:end], invT, sum.weights, l, sum.Add); err != nil {
			return err
		}
		report(end - start)
	}
	return nil
}

// Close gives back all that the activations take.
func (a *Activations) Close() error {
	d := a.model.Device()
	for _, m := range []Memory{a.memory, a.in.memory, a.images.memory, a.out.memory} {
		d.Free(m)
	}
	a.memory, a.in, a.images, a.out, a.host = nil, scratch{}, scratch{}, scratch{}, nil
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}
