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
// each goroutine its own. A [Task] computes with the serial one that it is handed.
type Context struct {
	threads int
	variant Variant
	vector  *vectorKernels // nil: plain Go
	done    <-chan struct{}
	serial  []*Context // one for each goroutine of the crew, the caller's first: see Serial
	pool    *pool      // shared by a Context and its Serial one; the other goroutines have their own
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
	for i := range threads {
		one := *c
		one.threads = 1
		one.serial = []*Context{&one}
		if i > 0 {
			one.pool = &pool{}
		}
		c.serial = append(c.serial, &one)
	}
	return c
}

// Serial returns the Context for kernels called from within Run and Parallel: it runs them on
// the calling goroutine alone, with the same micro-kernels, pool and cancellation.
// Unlike c, it may be used by any number of goroutines at once.
func (c *Context) Serial() *Context { return c.serial[0] }

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
func (c *Context) SetCancel(done <-chan struct{}) {
	c.done = done
	for _, one := range c.serial {
		one.done = done
	}
}

func (c *Context) cancelled() bool {
	select {
	case <-c.done: // a nil channel never is ready
		return true
	default:
		return false
	}
}

// A Task computes something of each of a number of items. It is handed some at a time,
// [lo, hi), on any of several goroutines, with a serial Context of that goroutine's own.
type Task interface {
	Chunk(c *Context, lo, hi int)
}

// Run splits [0,n) into chunks of grain items (the last may be shorter) and has the task
// compute each, on up to Threads goroutines; the caller's is one of them. The boundaries do
// not depend on the number of threads, so a result that depends on them is still the same for
// any number of threads. One chunk, or one thread, runs inline. A panic of the task is raised
// again in the caller, when no other chunk runs any more. Chunks that have not begun when the
// Context is cancelled are left out.
//
// A task is given as a value, whose pointer is a Task. Unlike the function that could be in
// its place, whose variables would be allocated at every call, it is kept where an earlier one
// of its type has been.
func Run[T any, P interface {
	*T
	Task
}](c *Context, n, grain int, task T) {
	t := borrow(c, task)
	c.run(n, grain, P(t))
	giveBack(c, t)
}

func (c *Context) run(n, grain int, t Task) {
	grain = max(grain, 1)
	chunks := (n + grain - 1) / grain
	if min(c.threads, chunks) > 1 {
		c.crew.run(job{c, t, n, grain, chunks})
		return
	}
	for lo := 0; lo < n && !c.cancelled(); lo += grain {
		t.Chunk(c.serial[0], lo, min(lo+grain, n))
	}
}

// Grain is the number of items in a chunk that suits items of size elements each, whose cost is
// about that of moving them once: large against the cost of handing a chunk to a thread,
// small against the arrays worth splitting.
func Grain(size int) int { return grainElements / max(size, 1) }

const grainElements = 1 << 14

// Parallel is Run for a function. It allocates, and so is for what no step of a usual network
// does.
func (c *Context) Parallel(n, grain int, f func(lo, hi int)) {
	c.run(n, grain, function(f))
}

type function func(lo, hi int)

func (f function) Chunk(_ *Context, lo, hi int) { f(lo, hi) }

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
