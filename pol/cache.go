package pol

import (
	"context"
	"fmt"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/internal/spill"
)

// A cache gives the activations of a set's examples at one neck, below which no
// weight changes: computed once and kept, or computed at each use. Both give the
// same bits, because what a network makes of an example does not depend on the
// others in its batch.
type cache struct {
	model    Model
	name     string // of the set, for errors
	examples diag.Examples
	neck     int
	size     int           // elements per example
	array    *spill.Array  // nil: nothing is kept
	images   []float32     // one batch, where nothing is kept
	labels   []int         // of one batch, valid until the next call
	spent    time.Duration // on what a filled cache would not have to compute
}

// newCache returns the cache of a set. Of the budget in bytes, 0 for no limit,
// it takes what it needs if that is there, and a temporary file otherwise; what
// is left is returned.
func newCache(m Model, name string, examples diag.Examples, neck int, keep bool, budget int64, tempDir string) (c *cache, left int64) {
	c = &cache{model: m, name: name, examples: examples, neck: neck, size: m.NeckElements(neck)}
	if !keep {
		return c, budget
	}
	c.array = &spill.Array{Elements: examples.Len() * c.size, TempDir: tempDir}
	need := c.array.HeapBytes()
	switch {
	case budget == 0:
	case need < budget: // 0 would mean no limit
		budget -= need
	default:
		c.array.InFile = true
	}
	return c, budget
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
	batch := make([]float32, c.model.Batch()*c.size)
	for lo := 0; lo < c.examples.Len(); lo += c.model.Batch() {
		hi := min(lo+c.model.Batch(), c.examples.Len())
		out := batch[:(hi-lo)*c.size]
		if err := c.compute(ctx, consecutive(lo, hi), out); err != nil {
			return err
		}
		if err := c.array.Write(lo*c.size, out); err != nil {
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
			return fmt.Errorf("%s example %d: %w", c.name, i, err)
		}
	}
	if c.neck == 0 {
		return nil
	}
	return c.model.Advance(ctx, 0, c.neck, in, out)
}

// gather writes the activations of the examples of the given indices, at most a
// batch of them, to out and returns their labels.
func (c *cache) gather(ctx context.Context, indices []int, out []float32) ([]int, error) {
	c.labels = c.labels[:0]
	for _, i := range indices {
		c.labels = append(c.labels, c.examples.Label(i))
	}
	if c.array == nil {
		start := time.Now()
		err := c.compute(ctx, indices, out)
		c.spent += time.Since(start)
		return c.labels, err
	}
	for j, i := range indices {
		dst := out[j*c.size:][:c.size]
		kept, err := c.array.Read(i*c.size, dst)
		if err != nil {
			return nil, err
		}
		copy(dst, kept) // onto itself where it was read from a file
	}
	return c.labels, nil
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
