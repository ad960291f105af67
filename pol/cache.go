package pol

import (
	"context"
	"fmt"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/internal/spill"
	"github.com/modeldoctor/modeldoctor/internal/vec"
)

// A cache gives the activations of a set's examples at one neck, below which no
// weight changes: computed once and kept, or computed at each use. Both give the
// same bits, because what a network makes of an example does not depend on the
// others in its batch.
type cache struct {
	model    diag.Model
	name     string // of an example, for errors
	examples diag.Examples
	neck     int
	size     int           // elements per example
	array    *spill.Array  // nil: nothing is kept
	spent    time.Duration // on what a filled cache would not have to compute

	images []float32 // one batch, where nothing is kept
	batch  []float32 // activations of one batch at the neck
	above  []float32 // and at a later one
	labels []int     // of one batch
}

// newCache returns a cache that keeps nothing.
func newCache(m diag.Model, name string, examples diag.Examples, neck int) *cache {
	return &cache{model: m, name: name, examples: examples, neck: neck, size: m.NeckElements(neck)}
}

// keep makes room for all activations, for fill. Of the budget in bytes, 0 for no
// limit, it takes what it needs if that is there, and a temporary file otherwise;
// what is left is returned.
func (c *cache) keep(budget int64, tempDir string) (left int64) {
	c.array = &spill.Array{Elements: c.examples.Len() * c.size, TempDir: tempDir}
	need := c.array.HeapBytes()
	switch {
	case budget == 0:
	case need < budget: // 0 would mean no limit
		budget -= need
	default:
		c.array.InFile = true
	}
	return budget
}

// bytes is what is kept, wherever it lies.
func (c *cache) bytes() int64 {
	if c.array == nil {
		return 0
	}
	return int64(c.array.Elements) * spill.ElementBytes
}

// fill computes what is to be kept and tells report of examples as they are
// done.
func (c *cache) fill(ctx context.Context, report func(examples int)) error {
	if c.array == nil {
		return nil
	}
	for lo := 0; lo < c.examples.Len(); lo += c.model.Batch() {
		hi := min(lo+c.model.Batch(), c.examples.Len())
		c.batch = vec.Grow(c.batch, (hi-lo)*c.size)
		if err := c.compute(ctx, consecutive(lo, hi), c.batch); err != nil {
			return err
		}
		if err := c.array.Write(lo*c.size, c.batch); err != nil {
			return err
		}
		report(hi - lo)
	}
	c.images = nil
	return nil
}

// compute runs the stages below the neck on the examples of the given indices,
// at most a batch of them.
func (c *cache) compute(ctx context.Context, indices []int, out []float32) error {
	in := out
	if c.neck > 0 {
		size := c.model.NeckElements(0)
		if c.images == nil {
			c.images = make([]float32, c.model.Batch()*size)
		}
		in = c.images[:len(indices)*size]
	}
	size := len(in) / len(indices)
	for j, i := range indices {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.examples.Read(i, in[j*size:][:size]); err != nil {
			return fmt.Errorf("%s %d: %w", c.name, i, err)
		}
	}
	if c.neck == 0 {
		return nil
	}
	return c.model.Advance(ctx, 0, c.neck, in, out)
}

// batches brings the examples of the given indices to a neck, the cache's own or a
// later one, a batch at a time and with the weights as they are, and hands them
// to do. done counts the examples before the batch. What do is given is valid
// during the call.
func (c *cache) batches(ctx context.Context, indices []int, neck int, do func(in []float32, labels []int, done int) error) error {
	for lo := 0; lo < len(indices); lo += c.model.Batch() {
		some := indices[lo:min(lo+c.model.Batch(), len(indices))]
		if err := c.gather(ctx, some); err != nil {
			return err
		}
		in := c.batch
		if neck > c.neck {
			c.above = vec.Grow(c.above, len(some)*c.model.NeckElements(neck))
			if err := c.model.Advance(ctx, c.neck, neck, c.batch, c.above); err != nil {
				return err
			}
			in = c.above
		}
		if err := do(in, c.labels, lo); err != nil {
			return err
		}
	}
	return nil
}

// gather fills batch and labels with the examples of the given indices, at most a
// batch of them.
func (c *cache) gather(ctx context.Context, indices []int) error {
	c.batch = vec.Grow(c.batch, len(indices)*c.size)
	c.labels = c.labels[:0]
	for _, i := range indices {
		c.labels = append(c.labels, c.examples.Label(i))
	}
	if c.array == nil {
		start := time.Now()
		err := c.compute(ctx, indices, c.batch)
		c.spent += time.Since(start)
		return err
	}
	for j, i := range indices {
		dst := c.batch[j*c.size:][:c.size]
		kept, err := c.array.Read(i*c.size, dst)
		if err != nil {
			return err
		}
		copy(dst, kept) // onto itself where it was read from a file
	}
	return nil
}

// evaluate evaluates all examples, with the weights as they are and the losses of
// logits·invT. progress, if not nil, is told before each batch of the examples
// that are done.
func (c *cache) evaluate(ctx context.Context, invT float64, progress func(done, total int)) (*Evaluation, error) {
	n := c.examples.Len()
	e := newEvaluation(c.model.Classes(), n)
	err := c.batches(ctx, consecutive(0, n), c.neck, func(in []float32, labels []int, done int) error {
		if progress != nil {
			progress(done, n)
		}
		return e.add(ctx, c.model, c.neck, in, labels, invT)
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// close frees what is kept.
func (c *cache) close() error {
	if c.array == nil {
		return nil
	}
	return c.array.Close()
}

// consecutive is lo, lo+1, … hi−1.
func consecutive(lo, hi int) []int {
	all := make([]int, hi-lo)
	for i := range all {
		all[i] = lo + i
	}
	return all
}
