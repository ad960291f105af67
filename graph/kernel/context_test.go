package kernel

import (
	"slices"
	"sync"
	"testing"
)

func TestParallel(t *testing.T) {
	for threads := 1; threads <= 4; threads++ {
		c := NewContext(threads)
		var mu sync.Mutex
		var chunks [][2]int
		c.Parallel(10, 4, func(lo, hi int) {
			mu.Lock()
			defer mu.Unlock()
			chunks = append(chunks, [2]int{lo, hi})
		})
		slices.SortFunc(chunks, func(a, b [2]int) int { return a[0] - b[0] })
		if want := [][2]int{{0, 4}, {4, 8}, {8, 10}}; !slices.Equal(chunks, want) {
			t.Errorf("%d threads: chunks %v, want %v", threads, chunks, want)
		}
		c.Parallel(0, 4, func(lo, hi int) { t.Errorf("chunk [%d,%d) of nothing", lo, hi) })
	}
}

// marking is a task that writes to each item the length of its chunk.
type marking[T Float] struct{ x []T }

func (t *marking[T]) Chunk(c *Context, lo, hi int) {
	if c.Threads() != 1 || c.Serial() != c {
		panic("a chunk was not handed the serial Context")
	}
	for i := lo; i < hi; i++ {
		t.x[i] = T(hi - lo)
	}
}

func TestRun(t *testing.T) {
	for threads := 1; threads <= 3; threads++ {
		c := NewContext(threads)
		x, y := make([]float32, 10), make([]float64, 3)
		both := func() {
			Run(c, len(x), 4, marking[float32]{x})
			Run(c, len(y), 4, marking[float64]{y})
		}
		both()
		if !slices.Equal(x, []float32{4, 4, 4, 4, 4, 4, 4, 4, 2, 2}) || !slices.Equal(y, []float64{3, 3, 3}) {
			t.Errorf("%d threads: %v, %v", threads, x, y)
		}
		if n := testing.AllocsPerRun(100, both); n != 0 {
			t.Errorf("%d threads: %v allocations", threads, n)
		}
	}
}

func TestCancel(t *testing.T) {
	for threads := 1; threads <= 3; threads++ {
		c := NewContext(threads)
		done := make(chan struct{})
		c.SetCancel(done)
		ran := 0
		var mu sync.Mutex
		c.Parallel(1000, 1, func(int, int) {
			mu.Lock()
			defer mu.Unlock()
			if ran++; ran == 10 {
				close(done)
			}
		})
		if ran < 10 || ran >= 10+threads {
			t.Errorf("%d threads: %d chunks ran, cancelled in the tenth", threads, ran)
		}
		// A product leaves its result alone now.
		x, out := make([]float32, 200*200), []float32{0: 7, 200*200 - 1: 0}
		Gemm(c, false, false, 200, 200, 200, 1, x, 200, x, 200, 0, out, 200)
		if out[0] != 7 {
			t.Errorf("%d threads: a cancelled Gemm wrote %v", threads, out[0])
		}
		c.SetCancel(nil)
		Gemm(c, false, false, 200, 200, 200, 1, x, 200, x, 200, 0, out, 200)
		if out[0] != 0 {
			t.Errorf("%d threads: Gemm did not run", threads)
		}
	}
}

func TestScratch(t *testing.T) {
	c := NewContext(1)
	a := Scratch[float32](c, 100)
	b := Scratch[float32](c, 100)
	if &a[0] == &b[0] {
		t.Fatal("a buffer was handed out twice")
	}
	Release(c, a)
	if got := Scratch[float32](c.Serial(), 90); len(got) != 90 || &got[0] != &a[0] {
		t.Error("a released buffer was not used again")
	}
	if got := testing.AllocsPerRun(10, func() { Release(c, Scratch[float64](c, 50)) }); got != 0 {
		t.Errorf("%v allocations in a steady loop", got)
	}
}

func TestWithVariantPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a variant that does not exist was accepted")
		}
	}()
	NewContext(1, WithVariant(99))
}
