package nn_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// threaded is a model for which several threads may read.
type threaded struct{ nn.Model }

func (threaded) Threads() int { return 4 }

// watched are images that all differ and of which some cannot be read. It keeps
// which were.
type watched struct {
	numbered
	broken func(i int) error // may panic

	mu    sync.Mutex
	begun []int
}

func (w *watched) Read(i int, dst []float32) error {
	w.mu.Lock()
	w.begun = append(w.begun, i)
	w.mu.Unlock()
	if w.broken != nil {
		if err := w.broken(i); err != nil {
			return err
		}
	}
	for j := range dst {
		dst[j] = float32(8*i + 16*j)
	}
	return nil
}

// read lists what has been read since the last call, in order of the examples.
func (w *watched) read() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	read := slices.Sorted(slices.Values(w.begun))
	w.begun = nil
	return read
}

// TestReadAhead gathers batches whose successors are announced, rightly, wrongly or not
// at all: each has its own images, and each image that is announced rightly is read
// once.
func TestReadAhead(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		m := threaded{on(&counting{sizes: []int{4, 2, 2}})}
		v := &watched{numbered: numbered{n: 20}}
		order := make([]int, 20)
		for i := range order {
			order[i] = 19 - i
		}
		a, b := nn.Open(m, v, order, nn.Holding{At: 0}), nn.NewActivations(m)
		batches := [][]int{{0, 1, 2, 3}, {7, 5}, {11, 12, 13, 14, 15, 16, 17}, {2}}
		gather := func(k int, then []int) {
			t.Helper()
			if err := b.Gather(t.Context(), a, batches[k], 1, then); err != nil {
				t.Fatal(err)
			}
			held := make([]float64, b.Len())
			if err := b.Evaluate(t.Context(), 0, 1, held, nil, ignore); err != nil {
				t.Fatal(err)
			}
			for j, p := range batches[k] {
				// The mean of an image of counting and numbered is 8·i + 24, and every
				// later neck adds to that.
				example := order[p]
				if want := float64(example%2) + 2*float64(8*example+24) + 2; held[j] != want {
					t.Errorf("batch %d: the loss of example %d is %v, want %v", k, example, held[j], want)
				}
			}
		}
		for k := range batches {
			then := []int(nil)
			if k+1 < len(batches) {
				then = batches[k+1]
			}
			gather(k, then)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if read := v.read(); len(read) != 14 || fmt.Sprint(slices.Compact(read)) != "[2 3 4 5 6 7 8 12 14 16 17 18 19]" {
			t.Errorf("read %v", read)
		}
		for k := range batches { // the guess is another batch each time
			gather(k, []int{18, 19})
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil || len(live()) > 0 {
			t.Errorf("error %v, %v left", err, live())
		}
	})
}

// lettered are images of two channels in bytes. It counts what was read.
type lettered struct {
	numbered
	code          nn.Code
	values, bytes atomic.Int64
}

func (l *lettered) Code() *nn.Code { return &l.code }

func (l *lettered) Read(i int, dst []float32) error {
	l.values.Add(1)
	letters := make([]byte, len(dst))
	l.write(i, letters)
	l.code.Decode(dst, letters)
	return nil
}

func (l *lettered) ReadBytes(i int, dst []byte) error {
	l.bytes.Add(1)
	l.write(i, dst)
	return nil
}

func (l *lettered) write(i int, dst []byte) {
	for j := range dst {
		dst[j] = byte(8*i + j)
	}
}

// TestCoded: images of bytes are decoded by channel, whichever side of the way to the
// device does it, and travel as bytes where there is a way.
func TestCoded(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		m := threaded{on(&counting{sizes: []int{4, 2, 2}})}
		for _, run := range []int{1, 2} {
			v := &lettered{numbered: numbered{n: 7}, code: nn.Code{Values: make([][256]float32, 2), Run: run}}
			for b := range 256 {
				v.code.Values[0][b], v.code.Values[1][b] = float32(b), 100*float32(b)
			}
			a := nn.Open(m, v, []int{6, 5, 4, 3, 2, 1, 0}, nn.Holding{})
			losses := make([]float64, 7)
			if err := a.Evaluate(t.Context(), 0, 1, losses, nil, ignore); err != nil {
				t.Fatal(err)
			}
			for p, got := range losses {
				first, second := 2*8*(6-p)+2, 2*8*(6-p)+4 // side by side: bytes 0 and 2, 1 and 3
				if run == 2 {
					first, second = 2*8*(6-p)+1, 2*8*(6-p)+5 // planes: 0 and 1, 2 and 3
				}
				mean := float64(first+100*second) / 4 // which every later neck adds to, as in TestReadAhead
				if want := float64((6-p)%2) + 2*mean + 2; got != want {
					t.Errorf("runs of %d: the loss at %d is %v, want %v", run, p, got, want)
				}
			}
			values, bytes := v.values.Load(), v.bytes.Load()
			if _, host := m.Device().(nn.Host); host {
				values, bytes = bytes, values
			}
			if values != 0 || bytes != 7 {
				t.Errorf("runs of %d: %d were read the other way, %d as expected", run, values, bytes)
			}
			if err := a.Close(); err != nil || len(live()) > 0 {
				t.Errorf("error %v, %v left", err, live())
			}
		}
	})
}

// TestReadErrors: of several images that cannot be read the first in the batch is
// named, whichever thread meets it; one that makes a decoder panic is an error; an
// announced batch's error is that of the call which takes it.
func TestReadErrors(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		m := threaded{on(&counting{sizes: []int{4, 2, 2}})}
		v := &watched{numbered: numbered{n: 12}, broken: func(i int) error {
			switch i {
			case 4, 5:
				return errInjected
			case 9:
				panic("no such colour")
			}
			return nil
		}}
		order := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
		for range 50 {
			a, b := nn.Open(m, v, order, nn.Holding{Name: "training example"}), nn.NewActivations(m)
			if err := b.Gather(t.Context(), a, []int{0, 1, 2}, 1, []int{3, 5, 4}); err != nil {
				t.Fatal(err)
			}
			if err := b.Gather(t.Context(), a, []int{3, 5, 4}, 1, nil); !errors.Is(err, errInjected) || !strings.HasPrefix(err.Error(), "training example 5: ") {
				t.Fatalf("error %v", err)
			}
			if err := b.Gather(t.Context(), a, []int{8, 9, 10}, 1, nil); err == nil || err.Error() != "training example 9: no such colour" {
				t.Fatalf("error %v", err)
			}
			if err := errors.Join(a.Close(), b.Close()); err != nil || len(live()) > 0 {
				t.Fatalf("error %v, %v left", err, live())
			}
		}
	})
}

// TestReadCancelled: the end of a call's context ends its wait, and spoils nothing for
// the next call.
func TestReadCancelled(t *testing.T) {
	d := nntest.NewDevice()
	m := threaded{nntest.OnDevice(&counting{sizes: []int{4, 2, 2}}, d)}
	release, reading := make(chan struct{}), make(chan struct{}, 12)
	v := &watched{numbered: numbered{n: 6}, broken: func(i int) error {
		if i >= 3 {
			reading <- struct{}{}
			<-release
		}
		return nil
	}}
	a, b := nn.Open(m, v, []int{0, 1, 2, 3, 4, 5}, nn.Holding{}), nn.NewActivations(m)
	if err := b.Gather(t.Context(), a, []int{0, 1, 2}, 1, []int{3, 4, 5}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	<-reading // while nobody waits for it
	cancel()
	if err := b.Gather(ctx, a, []int{3, 4, 5}, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	if err := b.Gather(t.Context(), a, []int{3, 4, 5}, 1, nil); err != nil {
		t.Errorf("error %v", err)
	}
	if read := v.read(); fmt.Sprint(read) != "[0 1 2 3 4 5]" {
		t.Errorf("read %v", read)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil || len(d.Live()) > 0 {
		t.Errorf("error %v, %v left", err, d.Live())
	}
}
