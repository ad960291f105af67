package nn_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestWindow keeps changing sets of examples: what is gathered, at the window's neck
// and above, within the window and beyond it, is what it would be without; each
// example is read when it comes to be held, and when what is gathered is not.
func TestWindow(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		m, v := on(&counting{sizes: []int{4, 2, 8, 3}}), &numbered{n: 10}
		order := []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
		plain := nn.Open(m, &numbered{n: 10}, order, nn.Holding{At: 1})
		kept := nn.Open(m, v, order, nn.Holding{At: 1})
		w := nn.NewWindow(kept, 6)
		gather := func(from *nn.Activations, positions []int, neck int) string {
			t.Helper()
			b := nn.NewActivations(m)
			defer b.Close()
			if err := b.Gather(t.Context(), from, positions, neck, nil); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(evaluate(t, b, m.Classes()), b.Labels())
		}
		random := rand.New(rand.NewPCG(1, 2))
		draw := func() []int { return random.Perm(10)[:random.IntN(7)] }
		held := []int{}
		positions := draw()
		for range 200 {
			then := draw()
			missing := 0
			for _, p := range positions {
				if !slices.Contains(held, p) {
					missing++
				}
			}
			v.reads.Store(0)
			// An example may be asked for twice.
			if err := w.Keep(t.Context(), append(positions, positions...), then); err != nil {
				t.Fatal(err)
			}
			if _, host := m.Device().(nn.Host); host && int(v.reads.Load()) != missing {
				t.Fatalf("%d examples are read, and %d were not held", v.reads.Load(), missing)
			}
			v.reads.Store(0)
			for neck := 1; neck < 4; neck++ {
				if got, want := gather(kept, positions, neck), gather(plain, positions, neck); got != want {
					t.Fatalf("%v at neck %d: %s, want %s", positions, neck, got, want)
				}
			}
			if _, host := m.Device().(nn.Host); host && v.reads.Load() > 0 {
				t.Fatalf("%d examples are read that are held", v.reads.Load())
			}
			if all := random.Perm(10); gather(kept, all, 2) != gather(plain, all, 2) {
				t.Fatalf("%v: other activations", all)
			}
			held, positions = positions, then
		}
		if err := errors.Join(w.Close(), kept.Close(), plain.Close()); err != nil || len(live()) > 0 {
			t.Errorf("error %v, %v left", err, live())
		}
	})
}

// TestWindowReadsAhead: on a device of its own the images that come next are read
// once, while it computes, and are those that are asked for then.
func TestWindowReadsAhead(t *testing.T) {
	m, v := nntest.OnDevice(&counting{sizes: []int{4, 2, 3}}, nntest.NewDevice()), &numbered{n: 12}
	a := nn.Open(m, v, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, nn.Holding{At: 1})
	w := nn.NewWindow(a, 6)
	steps := [][]int{{0, 1, 2, 3, 4, 5}, {2, 3, 4, 5, 6, 7}, {4, 5, 6, 7, 8, 9}, {6, 7, 8, 9, 10, 11}}
	for k, positions := range steps {
		var then []int
		if k+1 < len(steps) {
			then = steps[k+1]
		}
		if err := w.Keep(t.Context(), positions, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), a.Close()); err != nil || v.reads.Load() != 12 {
		t.Errorf("%d images are read, want 12; error %v", v.reads.Load(), err)
	}
}

// TestWindowFails: the error of every call of the device and every image comes back,
// what is held stays right, and nothing is left behind.
func TestWindowFails(t *testing.T) {
	steps := [][]int{{0, 1, 2, 3, 4, 5}, {2, 3, 5, 6, 8, 7}, {9, 3, 0, 1}}
	run := func(m nn.Model, v *numbered) error {
		a, b := nn.Open(m, v, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, nn.Holding{At: 1}), nn.NewActivations(m)
		w := nn.NewWindow(a, 6)
		var failed error
		for _, positions := range steps {
			err := w.Keep(t.Context(), positions, nil)
			if err != nil && failed == nil {
				failed, err = err, w.Keep(t.Context(), positions, nil) // the failure was the only one
			}
			if err == nil {
				if err = b.Gather(t.Context(), a, positions, 1, nil); err != nil && failed == nil {
					failed, err = err, b.Gather(t.Context(), a, positions, 1, nil)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			want := 0.0 // the mean of image i is 8i + 24
			for _, p := range positions {
				want += float64(8*p + 24)
			}
			losses, sum := make([]float64, len(positions)), 0.0
			if err := b.Evaluate(t.Context(), 0, 1, losses, nil, ignore); err != nil && failed == nil {
				failed, err = err, b.Evaluate(t.Context(), 0, 1, losses, nil, ignore)
				if err != nil {
					t.Fatal(err)
				}
			}
			for i, l := range losses {
				// Two logits: (x + x + 1)/2 + 0 and + 1, x the mean; and the label.
				sum += (l - float64(positions[i]%2) - 2) / 2
			}
			if sum != want {
				t.Errorf("%v: %v, want %v", positions, sum, want)
			}
		}
		return errors.Join(failed, w.Close(), a.Close(), b.Close())
	}
	d := nntest.NewDevice()
	if err := run(nntest.OnDevice(&counting{sizes: []int{4, 2, 2}}, d), &numbered{n: 10}); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= d.Calls; n++ {
		failing := nntest.NewDevice()
		failing.FailAt = n
		if err := run(nntest.OnDevice(&counting{sizes: []int{4, 2, 2}}, failing), &numbered{n: 10}); !errors.Is(err, nntest.ErrDevice) || len(failing.Live()) > 0 {
			t.Errorf("call %d of %d failed: error %v, %v left", n, d.Calls, err, failing.Live())
		}
	}
	for n := 1; n <= 10; n++ {
		if err := run(nntest.On(&counting{sizes: []int{4, 2, 2}}), &numbered{n: 10, failAt: n}); !errors.Is(err, errInjected) {
			t.Errorf("image %d: error %v", n, err)
		}
	}
}

// TestWindowTooSmall: more examples than fit in are a mistake of the caller.
func TestWindowTooSmall(t *testing.T) {
	m := nntest.On(&counting{sizes: []int{4, 2, 3}})
	a := nn.Open(m, &numbered{n: 10}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, nn.Holding{At: 1})
	defer a.Close()
	w := nn.NewWindow(a, 2)
	defer w.Close()
	defer func() {
		if recover() == nil {
			t.Error("three examples are held in a window of two")
		}
	}()
	_ = w.Keep(t.Context(), []int{1, 2, 3}, nil)
}
