package kernel

import (
	"fmt"
	"runtime"
)

// Float is an element type: float32 is computed by the micro-kernels of the
// Context's Variant, float64 always by the plain code (it serves gradient
// checks, not speed).
type Float interface{ float32 | float64 }

// Context says how a kernel may run: on how many threads, with which
// micro-kernels, and until when. It also pools the temporary buffers of the
// kernels, so that a steady loop allocates nothing.
//
// A Context is for one caller at a time: run kernels one after another, or give
// each goroutine its own. Inside Parallel, the function passed in may use Scratch
// and Release, and may call kernels on c.Serial().
type Context struct {
	threads int
	variant Variant
	vector  *vectorKernels // nil: plain Go
	done    <-chan struct{}
	serial  *Context // see Serial
	pool    *pool    // shared by a Context and its Serial one
	crew    *crew
}

// An Option changes a Context at its creation.
type Option func(*Context)

// WithVariant selects the micro-kernels. It panics when this CPU cannot run them:
// choose among Variants.
func WithVariant(v Variant) Option {
	return func(c *Context) { c.setVariant(v) }
}

// NewContext returns a Context that runs on up to threads goroutines (threads <= 0:
// GOMAXPROCS), with the Best variant unless an option says otherwise.
func NewContext(threads int, opts ...Option) *Context {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	c := &Context{threads: threads, pool: &pool{}, crew: newCrew(threads)}
	c.setVariant(Best())
	for _, o := range opts {
		o(c)
	}
	one := *c
	one.threads = 1
	one.serial = &one
	c.serial = &one
	return c
}

// Serial returns the Context for kernels called from within Parallel: it runs them on
// the calling goroutine alone, with the same micro-kernels, pool and cancellation.
// Unlike c, it may be used by any number of goroutines at once.
func (c *Context) Serial() *Context { return c.serial }

func (c *Context) setVariant(v Variant) {
	vector, ok := vectorKernelsFor(v)
	if !ok {
		panic(fmt.Sprintf("kernel: variant %v cannot run on this CPU; it has %v", v, Variants()))
	}
	c.variant, c.vector = v, vector
}

// Threads returns the number of goroutines a kernel may use.
func (c *Context) Threads() int { return c.threads }

// Variant returns the micro-kernels in use.
func (c *Context) Variant() Variant { return c.variant }

// SetCancel makes long kernels stop early once done is closed; nil makes them run to
// their end. A kernel that was stopped returns normally and leaves garbage in its
// output, so a caller that sets done must look at it before using a result.
func (c *Context) SetCancel(done <-chan struct{}) { c.done, c.serial.done = done, done }

func (c *Context) cancelled() bool {
	select {
	case <-c.done: // a nil channel never is ready
		return true
	default:
		return false
	}
}

// itemGrain is the number of elements in a task of Items: large against the cost of
// handing a task to a thread, small against the arrays worth splitting.
const itemGrain = 1 << 14

// Items is Parallel over n items of size elements each, whose cost is about that of
// moving them once.
func (c *Context) Items(n, size int, f func(lo, hi int)) {
	c.Parallel(n, itemGrain/max(size, 1), f)
}

// Parallel splits [0,n) into chunks of grain items (the last may be shorter) and
// calls f once for each, on up to Threads goroutines; the caller's is one of them.
// The boundaries do not depend on the number of threads, so a result that depends on
// them is still the same for any number of threads. One chunk, or one thread, runs
// inline. A panic in f is raised again in the caller, when no other chunk runs any more.
// Chunks that have not begun when the Context is cancelled are left out.
func (c *Context) Parallel(n, grain int, f func(lo, hi int)) {
	grain = max(grain, 1)
	chunks := (n + grain - 1) / grain
	if min(c.threads, chunks) > 1 {
		c.crew.run(job{c, f, n, grain, chunks})
		return
	}
	for lo := 0; lo < n && !c.cancelled(); lo += grain {
		f(lo, min(lo+grain, n))
	}
}

// need panics unless a slice has at least the wanted length: what the assembly reads
// and writes is bounded here, since nothing bounds it there.
func need(kernel, operand string, have, want int) {
	if want < 0 || have < want {
		panic(fmt.Sprintf("kernel: %s: %s has %d elements, need %d", kernel, operand, have, want))
	}
}

// as32 returns x as []float32 if that is what it is.
func as32[T Float](x []T) []float32 {
	s, _ := any(x).([]float32)
	return s
}
