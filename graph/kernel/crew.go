package kernel

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A crew is the goroutines that compute with the caller of a Context. A network's kernels
// follow each other within microseconds, less than it takes to wake a thread. So a goroutine
// that has nothing left to do lingers for a moment, looking out for the next job, and a caller
// looks for a moment whether the others are done, before it sleeps. After that moment a
// goroutine ends: a crew need not be closed.
type crew struct {
	job    job     // written while the gate is shut and nobody is inside
	shares []share // of the job, one for each goroutine

	// gate counts the goroutines inside, which may read the job, beside the bits below. One
	// enters while it is open only: whoever comes late never takes a chunk of a job by the
	// numbers of the one before.
	gate    atomic.Int32
	helpers atomic.Int32 // goroutines that there are
	most    int32        // that there may be

	untilDone, untilNext patience // of the caller, and of the others

	failed atomic.Pointer[any] // the value of the first panic
	awake  chan struct{}       // gets an element when the caller need not sleep any more
	help   []func()            // the method helper for each of the shares but the caller's, made once
}

// A share is a part of a job's chunks, one after the other. A goroutine begins with the same share
// of each job, since what it reads is likely what it has written in the job before, in the cache of
// its processor. Then it takes from the others'.
type share struct {
	next atomic.Int64 // the first chunk that nobody has taken
	_    [56]byte     // keeps shares in cache lines of their own
}

// Bits of a gate, beside the number of those inside, which the caller is not one of.
const (
	busy   = 1 << 28 << iota // there is a job
	open                     // it may have chunks that nobody has taken
	asleep                   // the caller sleeps until nobody is inside
)

// job is a call of Run.
type job struct {
	c                *Context
	task             Task
	n, grain, chunks int
}

func newCrew(threads int) *crew {
	w := &crew{most: int32(threads - 1), awake: make(chan struct{}, 1), shares: make([]share, threads)}
	for i := range threads - 1 {
		w.help = append(w.help, func() { w.helper(i + 1) })
	}
	// With more threads than processors, one that looks out is in the way of one that computes.
	if threads <= min(runtime.GOMAXPROCS(0), runtime.NumCPU()) {
		w.untilDone.set(mostPatience)
		w.untilNext.set(mostPatience)
	}
	return w
}

// run computes a job of at least two chunks.
func (w *crew) run(j job) {
	if !w.gate.CompareAndSwap(0, busy) {
		panic("kernel: the Context is computing: within a task, call kernels on its Serial one")
	}
	w.job = j
	for i := range w.shares {
		w.shares[i].next.Store(int64(w.begin(i)))
	}
	w.gate.Store(busy | open)
	for wanted := int32(min(j.chunks-1, int(w.most))); w.recruit(wanted); {
	}
	defer w.finish()
	w.work(0)
}

// begin is the first chunk of a share of the job, and what ends the share before.
func (w *crew) begin(share int) int { return share * w.job.chunks / len(w.shares) }

// recruit starts a goroutine unless there are enough, and reports whether it did.
func (w *crew) recruit(enough int32) bool {
	for {
		n := w.helpers.Load()
		if n >= enough {
			return false
		}
		if w.helpers.CompareAndSwap(n, n+1) {
			go w.help[n]()
			return true
		}
	}
}

// finish waits for the others, and raises again what one of them raised.
func (w *crew) finish() {
	if !w.untilDone.lookOut(w.empty) && w.gate.Or(asleep) != busy {
		<-w.awake
	}
	w.gate.Store(0)
	w.job = job{}
	if r := w.failed.Swap(nil); r != nil {
		panic(*r)
	}
}

// helper is a goroutine of the crew, which begins with that share.
func (w *crew) helper(share int) {
	defer w.quit()
	// What is read may lie in a mapped file that another program cuts short. The caller decides
	// for its own goroutine.
	debug.SetPanicOnFault(true)
	for w.untilNext.lookOut(w.enter) {
		w.workInside(share)
	}
}

// quit ends a goroutine. A job may have begun at this moment and have counted on it.
func (w *crew) quit() {
	w.helpers.Add(-1)
	if w.gate.Load()&open != 0 {
		w.recruit(w.most)
	}
}

// enter counts the goroutine in if the gate is open, and reports whether it is.
func (w *crew) enter() bool {
	for {
		g := w.gate.Load()
		if g&open == 0 {
			return false
		}
		if w.gate.CompareAndSwap(g, g+1) {
			return true
		}
	}
}

// empty reports whether nobody is inside, once the gate has been shut.
func (w *crew) empty() bool { return w.gate.Load() == busy }

// workInside is work for a goroutine that has entered.
func (w *crew) workInside(share int) {
	defer func() {
		if w.gate.Add(-1) == busy|asleep {
			w.awake <- struct{}{}
			runtime.Gosched() // the caller goes on here: no thread need be woken for it
		}
	}()
	w.work(share)
}

// work computes chunks until there are none, those of the goroutine's own share first, and shuts
// the gate.
func (w *crew) work(own int) {
	defer func() {
		if r := recover(); r != nil {
			w.fail(r)
		}
		w.gate.And(^open)
	}()
	for i := range w.shares {
		w.workOn((own+i)%len(w.shares), w.job.c.serial[own])
	}
}

// workOn computes the chunks of a share that nobody has taken, with the goroutine's Context.
func (w *crew) workOn(share int, c *Context) {
	j := &w.job
	for w.failed.Load() == nil && !j.c.cancelled() {
		i := int(w.shares[share].next.Add(1)) - 1
		if i >= w.begin(share+1) {
			return
		}
		j.task.Chunk(c, i*j.grain, min((i+1)*j.grain, j.n))
	}
}

func (w *crew) fail(cause any) { w.failed.CompareAndSwap(nil, &cause) }

// patience is for how many nanoseconds a goroutine looks out for something before it sleeps or
// ends. To look out in vain costs time that others may need, above all those that are waited for
// where other programs keep the processors busy. So patience halves each time, and comes back by and by.
type patience struct{ atomic.Int64 }

const (
	mostPatience  = 50 * time.Microsecond
	regained      = mostPatience / 16
	looksPerClock = 50  // looking at the clock takes as long as these
	clocksPerTurn = 100 // letting others run, such as the garbage collector, takes longer
)

func (p *patience) set(d time.Duration) { p.Store(int64(min(d, mostPatience))) }

// lookOut looks for a moment whether something has happened, and reports whether it has.
func (p *patience) lookOut(happened func() bool) bool {
	if happened() {
		return true
	}
	limit := time.Duration(p.Load())
	if limit == 0 {
		return false
	}
	for start, clocks := time.Now(), 1; time.Since(start) < limit; clocks++ {
		for range looksPerClock {
			if happened() {
				p.set(limit + regained)
				return true
			}
		}
		if clocks%clocksPerTurn == 0 {
			runtime.Gosched()
		}
	}
	p.set(limit/2 + regained)
	return false
}
