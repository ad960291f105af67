package kernel

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestParallelPanic computes on the Context again after each panic.
func TestParallelPanic(t *testing.T) {
	for threads := 1; threads <= 3; threads++ {
		c := NewContext(threads)
		for at := range 100 {
			if r := recovered(func() { c.Parallel(100, 1, func(lo, _ int) { panicAt(lo, at) }) }); r != fmt.Sprint("stop at ", at) {
				t.Fatalf("%d threads, a panic in chunk %d: recovered %v", threads, at, r)
			}
			var sum atomic.Int64
			c.Parallel(100, 3, func(lo, hi int) { sum.Add(int64(hi - lo)) })
			if sum.Load() != 100 {
				t.Fatalf("%d threads, after a panic in chunk %d: computed %d of 100 items", threads, at, sum.Load())
			}
		}
	}
}

func panicAt(lo, at int) {
	if lo == at {
		panic(fmt.Sprint("stop at ", at))
	}
}

func recovered(f func()) (r any) {
	defer func() { r = recover() }()
	f()
	return nil
}

// TestParallelExit ends the caller's goroutine in a chunk, as a failing test does.
func TestParallelExit(t *testing.T) {
	c := NewContext(2)
	var running, both sync.WaitGroup
	running.Add(1)
	both.Add(2)
	go func() {
		defer running.Done()
		caller := goroutine()
		c.Parallel(2, 1, func(int, int) {
			both.Done()
			both.Wait() // so that each goroutine has a chunk
			if goroutine() == caller {
				runtime.Goexit()
			}
			time.Sleep(time.Millisecond)
		})
	}()
	running.Wait()
	var ran atomic.Int64
	c.Parallel(2, 1, func(int, int) { ran.Add(1) })
	if ran.Load() != 2 {
		t.Errorf("%d of 2 chunks ran after the caller of the job before had ended", ran.Load())
	}
}

// TestParallelShares says that each goroutine computes the same part of one job after another.
func TestParallelShares(t *testing.T) {
	c := NewContext(2)
	caller := goroutine()
	for range 100 {
		var both sync.WaitGroup
		both.Add(2)
		c.Parallel(2, 1, func(lo, _ int) {
			both.Done()
			both.Wait() // so that each goroutine has a chunk
			if first := goroutine() == caller; first != (lo == 0) {
				t.Errorf("chunk %d ran on the caller's goroutine: %t", lo, first)
			}
		})
	}
}

// goroutine returns what tells the calling goroutine from others.
func goroutine() string {
	stack := make([]byte, 64)
	id, _, _ := strings.Cut(string(stack[:runtime.Stack(stack, false)]), "[")
	return id
}

// TestParallelWithin computes on a Context that is computing.
func TestParallelWithin(t *testing.T) {
	c := NewContext(2)
	within := func(c *Context) func(int, int) {
		return func(int, int) { c.Parallel(2, 1, func(int, int) {}) }
	}
	for range 1000 { // also when the others have left
		if r := recovered(func() { c.Parallel(2, 1, within(c)) }); r == nil || !strings.Contains(fmt.Sprint(r), "Serial") {
			t.Fatalf("recovered %v, want advice", r)
		}
	}
	if r := recovered(func() { c.Parallel(2, 1, within(c.Serial())) }); r != nil {
		t.Errorf("on Serial: %v", r)
	}
}

// TestParallelStress runs many small jobs of changing sizes in a row, on several Contexts at once,
// with pauses of all lengths between them. Each item must be computed once, by the job that it
// belongs to, and be seen by the caller.
func TestParallelStress(t *testing.T) {
	jobs := 20_000
	if testing.Short() {
		jobs = 2000
	}
	var contexts sync.WaitGroup
	for seed, threads := range []int{2, 2, 3, 8} {
		contexts.Go(func() {
			c := NewContext(threads)
			c.crew.untilDone.set(mostPatience) // also with more threads than processors
			c.crew.untilNext.set(mostPatience)
			items := make([]int, 64) // by the number of the job that computed each
			for i := 1; i <= jobs; i++ {
				n, grain := (i*7+seed)%len(items), 1+i%5
				c.Parallel(n, grain, func(lo, hi int) {
					if lo%grain != 0 || hi != min(lo+grain, n) {
						t.Errorf("job %d: chunk [%d,%d) of %d items in chunks of %d", i, lo, hi, n, grain)
					}
					for at := lo; at < hi; at++ {
						if items[at] == i {
							t.Errorf("job %d: item %d was computed twice", i, at)
						}
						items[at] = i
					}
				})
				for at, by := range items[:n] {
					if by != i {
						t.Errorf("job %d: item %d was computed last by job %d", i, at, by)
						return
					}
				}
				if i%64 == 0 {
					time.Sleep(time.Duration(i%256) * mostPatience / 128)
				}
			}
		})
	}
	contexts.Wait()
}

// TestParallelEnds says that no goroutine outlives a job for long, and that steady jobs allocate nothing.
func TestParallelEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	c := NewContext(2)
	f := func(int, int) {}
	if n := testing.AllocsPerRun(1000, func() { c.Parallel(4, 1, f) }); n != 0 {
		t.Errorf("%v allocations in a job", n)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before the job", runtime.NumGoroutine(), before)
		}
	}
}

func BenchmarkParallel(b *testing.B) {
	c := NewContext(2)
	f := func(int, int) {}
	b.ReportAllocs()
	for b.Loop() {
		c.Parallel(2, 1, f)
	}
}
