//go:build gpu && linux && cgo

package driver

import (
	"bytes"
	"sync"
	"testing"
)

func TestInfo(t *testing.T) {
	d := openDevice(t)
	info := d.Info()
	t.Logf("%+v", info)
	if info.Name == "" || info.Memory <= 0 || info.Major < 1 || info.DriverVersion < oldestDriver ||
		info.CublasVersion < oldestDriver || info.Library == "" {
		t.Errorf("incomplete: %+v", info)
	}
	free, total, err := d.FreeMemory()
	if err != nil || free <= 0 || free > total {
		t.Errorf("%d of %d bytes free, %v", free, total, err)
	}
}

func TestCopies(t *testing.T) {
	d := openDevice(t)
	const n = 1000
	host, err := d.AllocHost(n)
	if err != nil {
		t.Fatal(err)
	}
	defer d.FreeHost(host)
	for i := range host {
		host[i] = byte(i)
	}
	pageable := bytes.Clone(host)
	p := alloc(t, d, 2*n)

	check := func(what string, want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if err := d.Download(got, p+n); err != nil {
			t.Fatal(err)
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: copied wrongly", what)
		}
	}
	do(t, d.Upload(p, host), d.Copy(p+n, p, n))
	check("pinned", pageable)
	do(t, d.Clear(p+n, n/2))
	check("cleared", append(make([]byte, n/2), pageable[n/2:]...))
	do(t, d.Upload(p+n, pageable))
	check("pageable", pageable)
	do(t, d.Download(host[:n/2], p+n), d.Sync(), d.Upload(p, nil), d.Download(nil, p), d.Copy(p, p, 0), d.Clear(p, 0))
	if !bytes.Equal(host, pageable) {
		t.Error("downloaded to pinned memory wrongly")
	}
}

// loadAxpy returns the kernel of testdata.
func loadAxpy(t testing.TB, d *Device) *Function {
	t.Helper()
	ptx, err := sources.ReadFile("testdata/axpy.ptx")
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.Load(ptx)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Function("axpy")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLaunch(t *testing.T) {
	d := openDevice(t)
	f := loadAxpy(t, d)
	x, y := []float32{1, 2, 3, 4, 5}, []float32{10, 20, 30, 40, 50}
	px, py := upload(t, d, x), upload(t, d, y)
	do(t, d.Launch(f, [3]int{2, 1, 1}, [3]int{4, 1, 1}, 0, Address(py), Address(px), Float32(-2), Int32(4)))
	got := download(t, d, py, len(y))
	for i, want := range []float32{8, 16, 24, 32, 50} {
		if got[i] != want {
			t.Errorf("element %d: %v, want %v", i, got[i], want)
		}
	}
}

// Goroutines move between threads, and CUDA looks for its context in the thread.
func TestAnyThread(t *testing.T) {
	d := openDevice(t)
	f := loadAxpy(t, d)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			s, err := d.NewStream()
			if err != nil {
				t.Error(err)
				return
			}
			x, y := []float32{float32(g)}, []float32{1}
			px, err := d.Alloc(8)
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Free(px)
			py := px + 4
			for range 20 {
				do(t, s.Upload(px, Bytes(x)), s.Upload(py, Bytes([]float32{1})),
					s.Launch(f, [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, Address(py), Address(px), Float32(2), Int32(1)),
					s.Download(Bytes(y), py), s.Sync())
				if want := 1 + 2*float32(g); y[0] != want {
					t.Errorf("goroutine %d: %v, want %v", g, y[0], want)
				}
			}
		})
	}
	all.Wait()
}

func TestEvents(t *testing.T) {
	d := openDevice(t)
	p := alloc(t, d, 1<<20)
	took, err := d.Time(func() error { return d.Clear(p, 1<<20) })
	if err != nil || took < 0 {
		t.Errorf("%v, %v", took, err)
	}
	copies, err := d.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	done, err := d.NewEvent()
	if err != nil {
		t.Fatal(err)
	}
	defer done.Close()
	one := []byte{1}
	do(t, copies.Upload(p, one), copies.Record(done), d.Wait(done), d.Copy(p+1, p, 1), done.Sync())
	got := make([]byte, 2)
	do(t, d.Download(got, p), d.Sync())
	if got[1] != 1 {
		t.Error("the copy did not wait for the upload")
	}
}

func TestClosed(t *testing.T) {
	useFakes(t)
	d, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	do(t, d.Close())
	if _, err := d.Alloc(1); err != errClosed {
		t.Errorf("Alloc: %v", err)
	}
	if err := d.Close(); err != errClosed {
		t.Errorf("Close: %v", err)
	}
}

func do(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func alloc(t testing.TB, d *Device, bytes int64) Ptr {
	t.Helper()
	p, err := d.Alloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, d.Free(p)) })
	return p
}

func upload(t testing.TB, d *Device, x []float32) Ptr {
	t.Helper()
	p := alloc(t, d, int64(4*len(x)))
	do(t, d.Upload(p, Bytes(x)))
	return p
}

func download(t testing.TB, d *Device, p Ptr, n int) []float32 {
	t.Helper()
	x := make([]float32, n)
	do(t, d.Download(Bytes(x), p), d.Sync())
	return x
}

func BenchmarkLaunch(b *testing.B) {
	d := openDevice(b)
	f := loadAxpy(b, d)
	p := alloc(b, d, 4)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Launch(f, [3]int{1, 1, 1}, [3]int{1, 1, 1}, 0, Address(p), Address(p), Float32(0), Int32(1)); err != nil {
			b.Fatal(err)
		}
	}
	do(b, d.Sync())
}
