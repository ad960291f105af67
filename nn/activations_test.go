package nn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// counting is a chain of stages of the given sizes. Element j at neck k+1 is the
// mean of those at neck k, plus j: exact in float32 for the images of the tests.
// The loss of an example is its label plus the sum of its logits; the gradient of
// weight 0, its only one, is the number of examples, then the sum of their losses.
type counting struct {
	sizes []int
	most  int // examples of a call
}

func (m *counting) Batch() int              { return 3 }
func (m *counting) Classes() int            { return m.sizes[len(m.sizes)-1] }
func (m *counting) Necks() int              { return len(m.sizes) }
func (m *counting) NeckElements(k int) int  { return m.sizes[k] }
func (m *counting) Weight(int) []float32    { return []float32{1, 2} }
func (m *counting) Override(int, []float32) {}

func (m *counting) Advance(ctx context.Context, from, to int, in, out []float32) error {
	n := len(in) / m.sizes[from]
	m.most = max(m.most, n)
	for i := range n {
		x := in[i*m.sizes[from]:][:m.sizes[from]]
		for k := from; k < to; k++ {
			x = m.stage(k, x)
		}
		copy(out[i*m.sizes[to]:], x)
	}
	return ctx.Err()
}

func (m *counting) stage(k int, x []float32) []float32 {
	sum := float32(0)
	for _, v := range x {
		sum += v
	}
	y := make([]float32, m.sizes[k+1])
	for j := range y {
		y[j] = sum/float32(len(x)) + float32(j)
	}
	return y
}

func (m *counting) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	z := make([]float32, len(labels)*m.Classes())
	err := m.Advance(ctx, from, m.Necks()-1, in, z)
	for i, label := range labels {
		losses[i] = float64(label)
		for _, v := range z[i*m.Classes():][:m.Classes()] {
			losses[i] += float64(v)
		}
	}
	if logits != nil {
		copy(logits, z)
	}
	return err
}

func (m *counting) LossGradients(ctx context.Context, _ metric.Loss, from int, in []float32, labels []int, invT float64, _ []int, losses []float64, sink func(int, []float32) error) error {
	if losses == nil {
		losses = make([]float64, len(labels))
	}
	if err := m.Evaluate(ctx, from, in, labels, invT, losses, nil); err != nil {
		return err
	}
	return sink(0, []float32{float32(len(labels)), float32(metric.Mean(losses) * float64(len(losses)))})
}

// numbered are images that all differ.
type numbered struct {
	n, failAt int
	reads     atomic.Int32 // some of them ahead, on another thread
}

func (v *numbered) Len() int        { return v.n }
func (v *numbered) Label(i int) int { return i % 2 }

func (v *numbered) Read(i int, dst []float32) error {
	if int(v.reads.Add(1)) == v.failAt {
		return errInjected
	}
	for j := range dst {
		dst[j] = float32(8*i + 16*j)
	}
	return nil
}

var errInjected = errors.New("injected")

// devices are the backends and, besides the host, a device that computes as the host
// does in memory of its own. What is left on a backend its own test finds.
func devices(t *testing.T, do func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string)) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		do(t, func(s nntest.Slices) nn.Model { return nntest.OnBackend(t, s, on.Device) }, func() []string { return nil })
	})
	t.Run("opaque", func(t *testing.T) {
		d := nntest.NewDevice()
		do(t, func(s nntest.Slices) nn.Model { return nntest.OnDevice(s, d) }, d.Live)
	})
}

func ignore(int) {}

// evaluate returns losses and logits of all examples.
func evaluate(t *testing.T, a *nn.Activations, classes int) string {
	t.Helper()
	losses, logits := make([]float64, a.Len()), make([]float32, a.Len()*classes)
	if err := a.Evaluate(t.Context(), 0, 1, losses, logits, ignore); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(losses, logits)
}

// TestAdvance moves activations that grow and shrink from neck to neck: what is
// made of them stays the same wherever they lie, images are read once where they
// are held, and nothing is left behind.
func TestAdvance(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		for _, sizes := range [][]int{{4, 2, 8, 16, 1, 2}, {2, 2, 2, 2}, {16, 1, 64, 2}} {
			m, want := &counting{sizes: sizes}, ""
			var necks []int
			largest := 0
			for k := 1; k < len(sizes)-1; k++ {
				necks, largest = append(necks, k), max(largest, sizes[k])
			}
			const n = 10
			bytes := func(size int) int64 { return int64(4 * n * size) }
			order := []int{9, 3, 4, 5, 0, 8, 1, 7, 6, 2}
			for _, c := range []struct {
				limit, host int64
				images      bool
				in          nn.Place
			}{
				{0, 0, true, nn.OnDevice}, {bytes(max(largest, sizes[0])), 0, true, nn.OnDevice},
				{bytes(largest), 1 << 20, largest >= sizes[0], nn.OnDevice},
				{bytes(largest) - 1, bytes(max(largest, sizes[0])), true, nn.OnHost},
				{1, bytes(largest), largest >= sizes[0], nn.OnHost},
				{bytes(largest) - 1, bytes(largest) - 1, false, nn.InFile}, {1, 0, false, nn.InFile},
			} {
				v, folder := &numbered{n: n}, t.TempDir()
				a := nn.Open(on(m), v, order, nn.Holding{Necks: necks, Images: true, Limit: c.limit, HostLimit: c.host, TempDir: folder})
				if err := a.Load(t.Context(), ignore); err != nil {
					t.Fatal(err)
				}
				for _, neck := range append([]int{0}, necks...) {
					told := 0
					if err := a.Advance(t.Context(), neck, func(examples int) { told += examples }); err != nil {
						t.Fatal(err)
					}
					if a.Neck() != neck || neck > 0 && told != n {
						t.Errorf("at neck %d, want %d; told of %d examples", a.Neck(), neck, told)
					}
					got := evaluate(t, a, m.Classes())
					if want == "" {
						want = got
					}
					if got != want {
						t.Errorf("sizes %v, %+v: %s at neck %d, want %s", sizes, c, got, neck, want)
					}
				}
				wantReads := n // once, by Load
				if !c.images {
					wantReads = 2 * n // by the evaluation and the first step
				}
				wantBytes := bytes(largest)
				if c.images {
					wantBytes = bytes(max(largest, sizes[0]))
				}
				if held, in := a.Held(); int(v.reads.Load()) != wantReads || in != c.in || held != wantBytes {
					t.Errorf("sizes %v, %+v: %d images read, want %d; %d bytes in place %d, want %d", sizes, c, v.reads.Load(), wantReads, held, in, wantBytes)
				}
				if err := a.Close(); err != nil {
					t.Error(err)
				}
				if left, err := os.ReadDir(folder); err != nil || len(left) > 0 || len(live()) > 0 {
					t.Errorf("files %v and memory %v are left, error %v", left, live(), err)
				}
			}
			if m.most != m.Batch() {
				t.Errorf("%d examples at once", m.most)
			}
		}
	})
}

// TestGather brings examples in any order to a later neck, from where they are held
// and from where they are not, and adds their gradients.
func TestGather(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		m := on(&counting{sizes: []int{4, 2, 8, 3}})
		v := &numbered{n: 10}
		order := []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
		rows := []int{3, 4, 5, 0, 9, 2, 2, 3}
		b := nn.NewActivations(m)
		want := map[string]bool{}
		for name, h := range map[string]nn.Holding{
			"memory": {Necks: []int{1}}, "host": {Necks: []int{1}, Limit: 1, HostLimit: 1 << 20},
			"file": {Necks: []int{1}, Limit: 1, TempDir: t.TempDir()}, "nowhere": {At: 1},
		} {
			a := nn.Open(m, v, order, h)
			if err := a.Advance(t.Context(), 1, ignore); err != nil {
				t.Fatal(err)
			}
			for _, neck := range []int{1, 2, 1} {
				for _, some := range [][]int{rows, rows[:2]} {
					if err := b.Gather(t.Context(), a, some, neck, nil); err != nil {
						t.Fatal(err)
					}
					for j, p := range some {
						if b.Len() != len(some) || b.Labels()[j] != order[p]%2 {
							t.Fatalf("labels %v of %v", b.Labels(), some)
						}
					}
					got := evaluate(t, b, m.Classes())
					if len(some) == len(rows) {
						want[got] = true
					}
				}
			}
			sum, err := nn.NewVector(m, []int{0})
			if err != nil {
				t.Fatal(err)
			}
			losses := make([]float64, 5)
			if err := a.LossGradients(t.Context(), 2, 7, metric.Loss{}, 1, sum, losses, ignore); err != nil {
				t.Fatal(err)
			}
			if got, err := sum.Values(0); err != nil || got[0] != 5 || float64(got[1]) != 5*metric.Mean(losses) {
				t.Errorf("%s: gradient %v of losses %v, error %v", name, got, losses, err)
			}
			sum.Free()
			if name == "nowhere" && a.Recomputed == 0 {
				t.Error("what is not held takes no time")
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := b.Close(); err != nil || len(want) != 1 || len(live()) > 0 {
			t.Errorf("%d different evaluations; memory %v is left; error %v", len(want), live(), err)
		}
	})
}

// TestInPlace: on the host, what is held in memory is handed out in place, and a
// step allocates no more than slices' headers.
func TestInPlace(t *testing.T) {
	m := nntest.On(&counting{sizes: []int{1 << 16, 1 << 16, 2}})
	a := nn.Open(m, &numbered{n: 3}, []int{0, 1, 2}, nn.Holding{Necks: []int{1}, Images: true})
	if err := errors.Join(a.Load(t.Context(), ignore), a.Advance(t.Context(), 1, ignore)); err != nil {
		t.Fatal(err)
	}
	losses := make([]float64, 3)
	if bytes := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := a.Evaluate(t.Context(), 0, 1, losses, nil, ignore); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp(); bytes > 1<<12 {
		t.Errorf("an evaluation allocates %d bytes", bytes)
	}
}

// TestReadFails names the example, and the context's end ends a long reading.
func TestReadFails(t *testing.T) {
	m := nntest.On(&counting{sizes: []int{4, 2, 2}})
	a := nn.Open(m, &numbered{n: 4, failAt: 3}, []int{3, 1, 2, 0}, nn.Holding{Necks: []int{1}, Name: "training example"})
	if err := a.Advance(t.Context(), 1, ignore); !errors.Is(err, errInjected) || !strings.HasPrefix(err.Error(), "training example 2: ") {
		t.Errorf("error %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	v := &numbered{n: 4}
	if err := nn.Open(m, v, []int{0, 1, 2, 3}, nn.Holding{Necks: []int{1}}).Advance(ended, 1, ignore); !errors.Is(err, context.Canceled) || v.reads.Load() > 0 {
		t.Errorf("error %v after %d images", err, v.reads.Load())
	}
}

// TestDeviceFails lets each call of the device fail: the error comes back, and
// nothing is left in its memory.
func TestDeviceFails(t *testing.T) {
	run := func(d nntest.Device) error {
		m := nntest.OnDevice(&counting{sizes: []int{4, 2, 8, 3}}, d)
		a := nn.Open(m, &numbered{n: 10}, []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, nn.Holding{Necks: []int{1, 2}, Limit: 1, TempDir: t.TempDir()})
		b := nn.NewActivations(m)
		defer b.Close()
		defer a.Close()
		if err := errors.Join(a.Load(t.Context(), ignore), a.Advance(t.Context(), 1, ignore)); err != nil {
			return err
		}
		if err := b.Gather(t.Context(), a, []int{0, 2, 4, 6, 8}, 2, nil); err != nil {
			return err
		}
		sum, err := nn.NewVector(m, []int{0})
		if err != nil {
			return err
		}
		defer sum.Free()
		return b.LossGradients(t.Context(), 0, 5, metric.Loss{}, 1, sum, nil, ignore)
	}
	d := nntest.NewDevice()
	if err := run(d); err != nil || d.Calls < 15 {
		t.Fatalf("%d calls, error %v", d.Calls, err)
	}
	for n := 1; n <= d.Calls; n++ {
		failing := nntest.NewDevice()
		failing.FailAt = n
		if err := run(failing); !errors.Is(err, nntest.ErrDevice) {
			t.Errorf("call %d failed: error %v", n, err)
		}
		if left := failing.Live(); len(left) > 0 {
			t.Errorf("call %d failed: %v left", n, slices.Sorted(slices.Values(left)))
		}
	}
}
