package kernel

import (
	"math/rand/v2"
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

func TestParallelPanic(t *testing.T) {
	for threads := 1; threads <= 3; threads++ {
		func() {
			defer func() {
				if r := recover(); r != "stop" {
					t.Errorf("%d threads: recovered %v", threads, r)
				}
			}()
			NewContext(threads).Parallel(100, 1, func(lo, _ int) {
				if lo == 57 {
					panic("stop")
				}
			})
			t.Errorf("%d threads: returned", threads)
		}()
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

// Results have the same bits for any number of threads, and for all vector widths.
func TestSameBits(t *testing.T) {
	const rows, d = 333, 130
	in := newRowInput(t, rows, d)
	weights := make([]float32, d*70)
	fill(rand.New(rand.NewPCG(15, 16)), weights)
	results := func(c *Context) map[string][]float32 {
		m := map[string][]float32{}
		for _, k := range rowKernels {
			m[k.name] = make([]float32, k.rows(in)*d)
			k.f32(c, in, m[k.name])
		}
		for _, k := range unaryKernels {
			m[k.name] = make([]float32, rows*d)
			k.f32(c, in.x, m[k.name])
		}
		for _, k := range binaryKernels {
			m[k.name] = make([]float32, rows*d)
			k.f32(c, in.x, in.dy, m[k.name])
		}
		m["Axpy"] = slices.Clone(in.x)
		Axpy(c, 0.3, in.dy, m["Axpy"])
		m["Gemm NN"] = make([]float32, rows*70)
		Gemm(c, false, false, rows, 70, d, 0.7, in.x, d, weights, 70, 0, m["Gemm NN"], 70)
		m["Gemm TN"] = make([]float32, d*d)
		Gemm(c, true, false, d, d, rows, 1, in.x, d, in.dy, d, 0, m["Gemm TN"], d)
		m["Gemm NT"] = make([]float32, rows*rows)
		Gemm(c, false, true, rows, rows, d, 1, in.x, d, in.dy, d, 0, m["Gemm NT"], rows)
		m["GemmBatch"] = make([]float32, 37*9*9)
		GemmBatch(c, 37, false, true, 9, 9, d, 1, in.x, d, 9*d, in.dy, d, 9*d, 0, m["GemmBatch"], 9, 81)
		return m
	}
	wide := results(NewContext(1, WithVariant(Best())))
	plain := results(NewContext(1, WithVariant(Plain)))
	for _, v := range Variants() {
		want := wide
		if v == Plain {
			want = plain
		}
		for threads := 1; threads <= 4; threads++ {
			for name, got := range results(NewContext(threads, WithVariant(v))) {
				equalBits(t, name+" "+v.String(), got, want[name])
			}
		}
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
