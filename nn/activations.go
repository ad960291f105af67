package nn

import (
	"cmp"
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
	// Images says that the images are held as well, where they fit in the same
	// memory; if they do not they are read again at each use.
	Images bool
	// Limit is the number of bytes that may be held in the device's memory; 0: no
	// limit. More lies in the host's, up to HostLimit bytes, which is 0 where the
	// device is the host. More than either lies in a temporary file in TempDir, or
	// in the system's place.
	Limit, HostLimit int64
	TempDir          string
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
	// Recomputed is the time that was spent on activations because they are not
	// held.
	Recomputed time.Duration

	model  Model
	images images
	labels []int // by position
	necks  []int // where they are held
	neck   int
	held   bool
	store  store
	window *Window // nil: none

	in, below Scratch // one batch, and the images that it is computed from
	results   results // of Evaluate, on a device
	rows      [2][]int
}

// Open returns the activations of the examples of the given order. Nothing is read
// before it is needed.
func Open(m Model, v Examples, order []int, h Holding) *Activations {
	a := &Activations{
		model: m, labels: make([]int, len(order)), necks: h.Necks, neck: h.At, store: store{device: m.Device()},
		images: images{
			examples: v, order: order, name: cmp.Or(h.Name, "example"), size: m.NeckElements(0), device: m.Device(), threads: m.Threads(),
		},
	}
	a.images.coded, _ = v.(Coded)
	for p, i := range order {
		a.labels[p] = v.Label(i)
	}
	largest := 0
	for _, k := range h.Necks {
		largest = max(largest, m.NeckElements(k))
	}
	bytes := func(elements int) int64 { return int64(len(order)) * int64(elements) * spill.ElementBytes }
	onDevice := func(elements int) bool { return h.Limit <= 0 || bytes(elements) <= h.Limit }
	onHost := func(elements int) bool { return bytes(elements) <= h.HostLimit }
	fits := onDevice
	if !onDevice(largest) {
		fits = onHost
	}
	if all := max(largest, m.NeckElements(0)); h.Images && fits(all) {
		a.necks = append(slices.Clone(h.Necks), 0)
		largest = all
	}
	a.store.elements = len(order) * largest
	switch {
	case onDevice(largest):
	case onHost(largest):
		a.store.outside = &hostArray{elements: a.store.elements}
	default:
		a.store.outside = &spill.File{TempDir: h.TempDir}
	}
	return a
}

// NewActivations returns room for examples that [Activations.Gather] brings.
func NewActivations(m Model) *Activations {
	return &Activations{model: m, store: store{device: m.Device()}}
}

// Len is the number of examples.
func (a *Activations) Len() int { return len(a.labels) }

// Labels are the classes of the examples, by position. They must not be changed.
func (a *Activations) Labels() []int { return a.labels }

// Neck is where the activations are.
func (a *Activations) Neck() int { return a.neck }

// Held is what the activations take, in bytes, and where, once they are there.
func (a *Activations) Held() (bytes int64, in Place) {
	return int64(a.store.elements) * spill.ElementBytes, a.store.place()
}

// Load reads the images, where they are to be held. report is told of examples as
// they are done.
func (a *Activations) Load(ctx context.Context, report func(examples int)) error {
	if a.neck != 0 || a.held || !slices.Contains(a.necks, 0) {
		return nil
	}
	size := a.model.NeckElements(0)
	for lo := 0; lo < a.Len(); lo += a.model.Batch() {
		rows, next := consecutive(&a.rows, lo, min(lo+a.model.Batch(), a.Len()), a.model.Batch(), a.Len())
		dst, err := a.store.room(lo*size, len(rows)*size)
		if err != nil {
			return err
		}
		if err := a.images.read(ctx, rows, next, dst); err != nil {
			return err
		}
		if err := a.store.keep(lo*size, dst, len(rows)*size); err != nil {
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
	if !slices.Contains(a.necks, to) {
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
		in, err := a.batch(ctx, lo, lo+count, n)
		if err != nil {
			return err
		}
		out, err := a.store.room(lo*size, count*size)
		if err != nil {
			return err
		}
		if err := a.model.Advance(ctx, a.neck, to, in, out, count); err != nil {
			return err
		}
		if err := a.store.keep(lo*size, out, count*size); err != nil {
			return err
		}
		done += count
		report(count)
	}
	a.neck, a.held = to, true
	a.images.close() // from now on none is read
	a.below.Free(a.model.Device())
	if a.store.outside == nil { // from now on batches are read in place
		a.in.Free(a.model.Device())
	}
	return nil
}

// Gather takes examples of from at the given positions, brought to a neck, from's
// own or a later one, with the model's weights as they are. a was made by
// [NewActivations]. then are the positions that from will be asked for next, where
// that is known: if their images have to be read, that begins at once.
func (a *Activations) Gather(ctx context.Context, from *Activations, positions []int, neck int, then []int) error {
	size := a.model.NeckElements(neck)
	a.neck, a.held, a.labels = neck, true, a.labels[:0]
	for _, p := range positions {
		a.labels = append(a.labels, from.labels[p])
	}
	a.store.grow(len(positions) * size)
	for lo := 0; lo < len(positions); lo += a.model.Batch() {
		some, rest := first(positions[lo:], a.model.Batch())
		if len(rest) == 0 {
			rest = then
		}
		next, _ := first(rest, a.model.Batch())
		dst, err := a.store.room(lo*size, len(some)*size)
		if err != nil {
			return err
		}
		if neck == from.neck {
			err = from.fetch(ctx, some, next, dst)
		} else {
			var in Memory
			if in, err = from.in.Grow(from.model.Device(), len(some)*from.model.NeckElements(from.neck)); err != nil {
				return err
			}
			if err = from.fetch(ctx, some, next, in); err == nil {
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
// is told of examples as they are done, or as a device has been given them to do.
func (a *Activations) Evaluate(ctx context.Context, lo int, invT float64, losses []float64, logits []float32, report func(examples int)) error {
	classes, stretch := a.model.Classes(), a.results.stretch(a.model)
	for done := 0; done < len(losses); done += stretch {
		end := min(done+stretch, len(losses))
		var z []float32
		if logits != nil {
			z = logits[done*classes : end*classes]
		}
		if err := a.results.evaluate(ctx, a, lo+done, lo+len(losses), invT, losses[done:end], z, report); err != nil {
			return err
		}
	}
	return nil
}

// LossGradients adds the gradient of a loss of logits·invT, summed over the
// examples at positions lo to hi, to sum. Unless losses is nil it gets the loss of
// each. report is told of examples as they are done.
func (a *Activations) LossGradients(ctx context.Context, lo, hi int, loss metric.Loss, invT float64, sum *Vector, losses []float64, report func(examples int)) error {
	for start := lo; start < hi; start += a.model.Batch() {
		end := min(start+a.model.Batch(), hi)
		in, err := a.batch(ctx, start, end, hi)
		if err != nil {
			return err
		}
		var l []float64
		if losses != nil {
			l = losses[start-lo : end-lo]
		}
		if err := a.model.LossGradients(ctx, loss, a.neck, in, a.labels[start:end], invT, sum.weights, l, sum.add); err != nil {
			return err
		}
		report(end - start)
	}
	return nil
}

// Close gives back all that the activations take.
func (a *Activations) Close() error {
	a.images.close()
	a.in.Free(a.model.Device())
	a.below.Free(a.model.Device())
	a.results.free(a.model.Device())
	return a.store.close()
}

// batch returns the activations at positions lo to hi, at most a batch of them, in
// place if they are held in the device's memory. They are valid until the next call
// of a method. Those up to end are expected to be asked for next.
func (a *Activations) batch(ctx context.Context, lo, hi, end int) (Memory, error) {
	d, size := a.model.Device(), a.model.NeckElements(a.neck)
	if a.held && a.store.outside == nil {
		return a.store.slice(lo*size, hi*size), nil
	}
	in, err := a.in.Grow(d, (hi-lo)*size)
	if err != nil {
		return nil, err
	}
	rows, next := consecutive(&a.rows, lo, hi, a.model.Batch(), end)
	return in, a.fetch(ctx, rows, next, in)
}

// fetch writes the activations at the given positions, at most a batch of them, to
// dst. next are those that are expected to be fetched next.
func (a *Activations) fetch(ctx context.Context, rows, next []int, dst Memory) error {
	if a.held {
		return a.store.read(rows, a.model.NeckElements(a.neck), dst)
	}
	if held, err := a.window.read(rows, dst); held {
		return err
	}
	start := time.Now()
	defer func() { a.Recomputed += time.Since(start) }()
	if a.neck == 0 {
		return a.images.read(ctx, rows, next, dst)
	}
	below, err := a.below.Grow(a.model.Device(), len(rows)*a.model.NeckElements(0))
	if err != nil {
		return err
	}
	if err := a.images.read(ctx, rows, next, below); err != nil {
		return err
	}
	return a.model.Advance(ctx, 0, a.neck, below, dst, len(rows))
}

// consecutive are the positions lo to hi, and those of the batch after them, up to
// end, in the arrays of room if they are long enough.
func consecutive(room *[2][]int, lo, hi, batch, end int) (rows, next []int) {
	room[0], room[1] = positions(room[0], lo, hi), positions(room[1], hi, min(hi+batch, end))
	return room[0], room[1]
}

// positions is lo to hi, in the array of room if that is long enough.
func positions(room []int, lo, hi int) []int {
	room = room[:0]
	for p := lo; p < hi; p++ {
		room = append(room, p)
	}
	return room
}

// first divides a list after its first n elements, or fewer if it has not as many.
func first(list []int, n int) (head, rest []int) {
	n = min(n, len(list))
	return list[:n], list[n:]
}

// Mix replaces each example of a by share times itself and 1 − share times b's at the
// same position. Both were made by [NewActivations], and are at the same neck.
func Mix(a, b *Activations, share float64) error {
	d, n := a.model.Device(), a.Len()*a.model.NeckElements(a.neck)
	mine, others := a.store.slice(0, n), b.store.slice(0, n)
	return d.Combine(mine, mine, []float64{share - 1, 1 - share}, []Memory{mine, others})
}
