package diag

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/internal/spill"
	"github.com/modeldoctor/modeldoctor/internal/vec"
)

// A boundary holds the activations of all examples at one neck and advances
// them to later necks (the moving cut). Examples are addressed by position,
// their place in the order given to newBoundary.
//
// Where neither the images nor later activations exceed the budget, they share
// one buffer on the heap. Images that exceed it are read again at each use;
// later activations that do lie in a temporary file.
type boundary struct {
	model    Model
	examples Examples
	order    []int // example at each position
	neck     int
	held     bool // store holds the activations at neck
	keep     bool // store has room for the images
	store    spill.Array
	in, out  []float32 // one batch, grown as needed
}

// newBoundary returns the boundary at neck 0. It will be advanced to the necks of
// layers; budget is in bytes, 0 for no limit.
func newBoundary(m Model, v Examples, order []int, layers []Layer, budget int64, tempDir string) *boundary {
	images, largest := m.NeckElements(0), 0
	for _, l := range layers {
		if l.Neck > 0 {
			largest = max(largest, m.NeckElements(l.Neck))
		}
	}
	fits := func(elements int) bool {
		return budget <= 0 || int64(len(order))*int64(elements)*spill.ElementBytes <= budget
	}
	b := &boundary{model: m, examples: v, order: order, store: spill.Array{TempDir: tempDir}}
	switch all := max(images, largest); {
	case fits(all):
		b.keep = true
		b.store.Elements = len(order) * all
	case fits(largest):
		b.store.Elements = len(order) * largest
	default:
		b.store.InFile = true
	}
	return b
}

// heapBytes is the number of bytes that the store takes on the heap.
func (b *boundary) heapBytes() int64 { return b.store.HeapBytes() }

// load reads all images, if there is room for them.
func (b *boundary) load(ctx context.Context) error {
	if !b.keep || b.held || b.neck != 0 {
		return nil
	}
	size, n := b.model.NeckElements(0), len(b.order)
	for lo := 0; lo < n; lo += b.model.Batch() {
		if err := ctx.Err(); err != nil {
			return err
		}
		images, err := b.batch(lo, min(lo+b.model.Batch(), n))
		if err != nil {
			return err
		}
		if err := b.store.Write(lo*size, images); err != nil {
			return err
		}
	}
	b.held = true
	return nil
}

// batch returns the activations at positions lo to hi, at most a batch of them.
// They are valid until the next call of a method.
func (b *boundary) batch(lo, hi int) ([]float32, error) {
	size := b.model.NeckElements(b.neck)
	b.in = vec.Grow(b.in, (hi-lo)*size)
	if b.held {
		return b.store.Read(lo*size, b.in)
	}
	for p := lo; p < hi; p++ {
		i := b.order[p]
		if err := b.examples.Read(i, b.in[(p-lo)*size:][:size]); err != nil {
			return nil, fmt.Errorf("example %d: %w", i, err)
		}
	}
	return b.in, nil
}

// advance moves the boundary to neck to, if it is not there already, and tells
// report of examples as they are done. After an error the boundary is of no
// use.
func (b *boundary) advance(ctx context.Context, to int, report func(examples int)) error {
	if to == b.neck {
		return nil
	}
	n, size := len(b.order), b.model.NeckElements(to)
	// Output overwrites input in the store. Where examples grow, the last ones
	// go first, so that nothing is overwritten before it is read.
	backward := b.held && size > b.model.NeckElements(b.neck)
	for done := 0; done < n; {
		count := min(b.model.Batch(), n-done)
		lo := done
		if backward {
			lo = n - done - count
		}
		in, err := b.batch(lo, lo+count)
		if err != nil {
			return err
		}
		b.out = vec.Grow(b.out, count*size)
		if err := b.model.Advance(ctx, b.neck, to, in, b.out); err != nil {
			return err
		}
		if err := b.store.Write(lo*size, b.out); err != nil {
			return err
		}
		done += count
		report(count)
	}
	b.neck, b.held = to, true
	return nil
}

// close releases the store.
func (b *boundary) close() error { return b.store.Close() }
