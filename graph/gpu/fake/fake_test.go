//go:build gpu && linux && cgo

package fake_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

func alloc(t *testing.T, d *driver.Device, bytes int64) driver.Ptr {
	t.Helper()
	p, err := d.Alloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Free(p) })
	return p
}

func load(t *testing.T, d *driver.Device) kernels.Queue {
	t.Helper()
	k, err := kernels.Load(d)
	if err != nil {
		t.Fatal(err)
	}
	return k.On(d.Stream)
}

func codeOf(t *testing.T, err error) *driver.Error {
	t.Helper()
	var e *driver.Error
	if !errors.As(err, &e) {
		t.Fatalf("expected an error of the driver's, found %v", err)
	}
	return e
}

func TestAllocationFails(t *testing.T) {
	d := fake.Open(t)
	fake.Set(t, fake.Faults{Alloc: 2})
	alloc(t, d, 100)
	if _, err := d.Alloc(100); !codeOf(t, err).OutOfMemory() {
		t.Errorf("second allocation: %v", err)
	}
	alloc(t, d, 100)
}

func TestMemoryIsLimited(t *testing.T) {
	d := fake.Open(t)
	fake.Set(t, fake.Faults{Memory: 1 << 20})
	alloc(t, d, 1<<19)
	if _, err := d.Alloc(1<<19 + 1); !codeOf(t, err).OutOfMemory() {
		t.Errorf("allocation beyond the memory: %v", err)
	}
	free, total, err := d.FreeMemory()
	if err != nil || free != 1<<19 || total != 1<<20 {
		t.Errorf("%d bytes free of %d, %v", free, total, err)
	}
	if used, peak := fake.Count(fake.Used), fake.Count(fake.Peak); used != 1<<19 || peak != 1<<19 {
		t.Errorf("%d bytes used, %d at most", used, peak)
	}
}

func TestLaunchFails(t *testing.T) {
	d := fake.Open(t)
	q := load(t, d)
	p := alloc(t, d, 400)
	fake.Set(t, fake.Faults{Launch: 2})
	if err := kernels.Fill(q, kernels.Float32(p), 1, 100); err != nil {
		t.Error(err)
	}
	if e := codeOf(t, kernels.Fill(q, kernels.Float32(p), 1, 100)); e.OutOfMemory() || e.DeviceLost() {
		t.Errorf("second launch: %v", e)
	}
	if err := kernels.Fill(q, kernels.Float32(p), 1, 100); err != nil {
		t.Error(err)
	}
}

func TestDeviceIsLost(t *testing.T) {
	d := fake.Open(t)
	q := load(t, d)
	p := alloc(t, d, 400)
	fake.Set(t, fake.Faults{Lost: 2})
	if err := kernels.Fill(q, kernels.Float32(p), 1, 100); err != nil {
		t.Error(err)
	}
	for range 3 {
		if e := codeOf(t, d.Sync()); !e.DeviceLost() {
			t.Error(e)
		}
	}
	fake.Set(t, fake.Faults{}) // so that it can be closed
}

func TestForeignAddress(t *testing.T) {
	d := fake.Open(t)
	q := load(t, d)
	p, err := d.Alloc(400)
	if err != nil {
		t.Fatal(err)
	}
	fake.Set(t, fake.Faults{})
	if err := d.Free(p); err != nil {
		t.Fatal(err)
	}
	if err := d.Upload(p, make([]byte, 4)); err == nil {
		t.Error("an upload to freed memory succeeds")
	}
	if e := codeOf(t, kernels.Fill(q, kernels.Float32(p), 1, 100)); !e.DeviceLost() {
		t.Errorf("a kernel that writes freed memory: %v", e)
	}
	fake.Set(t, fake.Faults{})
}

func TestMemoryBeginsAsNaN(t *testing.T) {
	if fake.Real() {
		t.Skip("a GPU's memory holds anything")
	}
	d := fake.Open(t)
	x := make([]float32, 5)
	if err := d.Download(driver.Bytes(x), alloc(t, d, 20)); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(x, func(v float32) bool { return v == v }) {
		t.Error(x)
	}
}

func TestLeaksAreCounted(t *testing.T) {
	fake.Use(t)
	fake.Set(t, fake.Faults{})
	d, err := driver.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Alloc(100); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if n := fake.Count(fake.Leaked); n != 1 {
		t.Errorf("%d allocations leaked, expected 1", n)
	}
}

func TestStrayWrite(t *testing.T) {
	if fake.Real() {
		t.Skip("a GPU does not notice")
	}
	fake.Use(t)
	d, err := driver.Open(0) // whose closing does not fail the test
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	q := load(t, d)
	p, err := d.Alloc(400)
	if err != nil {
		t.Fatal(err)
	}
	fake.Set(t, fake.Faults{})
	before := fake.Count(fake.Strays)
	if err := kernels.Move(q, []int{2, 2}, kernels.Placement{Array: kernels.Float32(p), Offset: 4, Strides: []int{-8, 2}}, kernels.Contiguous(kernels.Float32(p), []int{2, 2})); err != nil {
		t.Fatal(err)
	}
	if err := d.Free(p); err != nil {
		t.Fatal(err)
	}
	if n := fake.Count(fake.Strays) - before; n != 1 {
		t.Errorf("%d stray writes counted, expected 1", n)
	}
}

// TestConcurrentCallers: goroutines with a stream each, on whatever threads.
func TestConcurrentCallers(t *testing.T) {
	d := fake.Open(t)
	k, err := kernels.Load(d)
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i := range 4 {
		s, err := d.NewStream()
		if err != nil {
			t.Fatal(err)
		}
		p := alloc(t, d, 4000)
		callers.Go(func() {
			x := make([]float32, 1000)
			for range 20 {
				err := errors.Join(kernels.Fill(k.On(s), kernels.Float32(p), float32(i), len(x)), s.Download(driver.Bytes(x), p), s.Sync())
				if err != nil || x[0] != float32(i) || x[999] != float32(i) {
					t.Errorf("caller %d: %v to %v, %v", i, x[0], x[999], err)
				}
			}
		})
	}
	callers.Wait()
}
