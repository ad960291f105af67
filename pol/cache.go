package pol

import (
	"context"
	"errors"

	"github.com/modeldoctor/modeldoctor/nn"
)

// A cache gives the activations of a set's examples at one neck, below which no
// weight changes: computed once and kept, or computed at each use, to the same
// bits.
type cache struct {
	model    nn.Model
	examples nn.Examples
	neck     int
	kept     bool
	all      *nn.Activations // at the neck once filled, unless nothing is kept
	window   *nn.Window      // of those wanted by a step; nil: none
	batch    *nn.Activations // of one batch, at the neck or above
}

// newCache returns a cache that keeps nothing. name is what an example is called in
// errors.
func newCache(m nn.Model, name string, examples nn.Examples, neck int) *cache {
	return makeCache(m, examples, neck, nn.Holding{At: neck, Name: name})
}

// room is the memory that caches may take, in bytes.
type room struct {
	device int64 // where the model computes; 0: no limit
	host   int64 // in the host's memory where that is another; 0: none
}

// newKeptCache returns a cache that keeps all activations, once it is filled, at the
// first of some necks; it can be raised to the others. Of the room it takes what it
// needs on the device or on the host if that is there, and a temporary file otherwise;
// what is left is returned.
func newKeptCache(m nn.Model, name string, examples nn.Examples, necks []int, r room, tempDir string) (c *cache, left room) {
	h := nn.Holding{Necks: necks, HostLimit: r.host, TempDir: tempDir, Name: name}
	if r.device > 0 {
		h.Limit = max(1, r.device-1) // something is left, as 0 would mean no limit
	}
	c = makeCache(m, examples, necks[0], h)
	switch bytes, in := c.all.Held(); {
	case in == nn.OnDevice && r.device > 0:
		r.device -= bytes
	case in == nn.OnHost:
		r.host -= bytes
	}
	return c, r
}

func makeCache(m nn.Model, examples nn.Examples, neck int, h nn.Holding) *cache {
	return &cache{
		model: m, examples: examples, neck: neck, kept: len(h.Necks) > 0,
		all: nn.Open(m, examples, consecutive(0, examples.Len()), h), batch: nn.NewActivations(m),
	}
}

// fill computes what is to be kept and tells report of examples as they are
// done.
func (c *cache) fill(ctx context.Context, report func(examples int)) error {
	if err := c.all.Load(ctx, report); err != nil {
		return err
	}
	return c.all.Advance(ctx, c.neck, report)
}

// keepSome makes room for n examples at the neck, those of [cache.want], where nothing
// is kept and there is anything to compute below it.
func (c *cache) keepSome(n int) {
	if !c.kept && c.neck > 0 {
		c.window = nn.NewWindow(c.all, n)
	}
}

// want says which examples are used until the next call, so that they are brought to
// the neck once, and which that call will want, where that is known. Without room for
// some nothing is done.
func (c *cache) want(ctx context.Context, indices, then []int) error {
	if c.window == nil {
		return nil
	}
	return c.window.Keep(ctx, indices, then)
}

// batches brings the examples of the given indices to a neck, the cache's own or a
// later one, a batch at a time and with the weights as they are, and hands them
// to do. done counts the examples before the batch. What do is given is valid
// during the call. then are the examples that are wanted next, where that is known:
// see [nn.Activations.Gather].
func (c *cache) batches(ctx context.Context, indices []int, neck int, then []int, do func(batch *nn.Activations, done int) error) error {
	for lo := 0; lo < len(indices); lo += c.model.Batch() {
		hi := min(lo+c.model.Batch(), len(indices))
		next := indices[hi:]
		if len(next) == 0 {
			next = then
		}
		if err := c.batch.Gather(ctx, c.all, indices[lo:hi], neck, next); err != nil {
			return err
		}
		if err := do(c.batch, lo); err != nil {
			return err
		}
	}
	return nil
}

// evaluate evaluates all examples, with the weights as they are and the losses of
// logits·invT. progress, if not nil, is told before each batch of the examples
// that are done.
func (c *cache) evaluate(ctx context.Context, invT float64, progress func(done, total int)) (*Evaluation, error) {
	n := c.examples.Len()
	e := newEvaluation(c.model, n)
	for lo := 0; lo < n; lo += c.model.Batch() {
		if progress != nil {
			progress(lo, n)
		}
		if err := e.add(ctx, c.all, lo, min(lo+c.model.Batch(), n), invT); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// close frees what is kept.
func (c *cache) close() error {
	var err error
	if c.window != nil {
		err = c.window.Close()
	}
	return errors.Join(err, c.all.Close(), c.batch.Close())
}

// consecutive is lo, lo+1, … hi−1.
func consecutive(lo, hi int) []int {
	all := make([]int, hi-lo)
	for i := range all {
		all[i] = lo + i
	}
	return all
}
