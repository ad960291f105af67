package nn

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// images are those of examples in a given order. They are read on several threads,
// and for a device whose memory the host cannot reach those that come next are read
// while it computes, as bytes if they are coded.
type images struct {
	examples Examples
	coded    Coded  // the same; nil: they are not
	order    []int  // example at each position
	name     string // of an example, for errors
	size     int    // elements of one
	device   Device
	threads  int

	room  room     // for a batch on its way to the device
	ahead *reading // what is read while the device computes; nil: nothing
}

// room is memory of the host for images: for one kind of them, as they are coded or
// not.
type room struct {
	values []float32
	bytes  []byte
}

// part is n elements from lo on.
func (r room) part(lo, n int) room {
	if r.bytes != nil {
		return room{bytes: r.bytes[lo:][:n]}
	}
	return room{values: r.values[lo:][:n]}
}

// reading is a batch that is being read.
type reading struct {
	rows   []int
	host   room
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done
}

// read writes the images at the given positions to dst. next are those that the
// following call is expected to read, if any is.
func (v *images) read(ctx context.Context, rows, next []int, dst Memory) error {
	if host := v.device.InPlace(dst); host != nil {
		return v.readTo(ctx, rows, room{values: host}, v.threads)
	}
	if v.ahead == nil || !slices.Equal(v.ahead.rows, rows) {
		v.drop()
		v.begin(ctx, rows)
	}
	r := v.ahead
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
	}
	v.drop()
	if r.err != nil {
		return r.err
	}
	if err := v.upload(dst, r.host); err != nil {
		return err
	}
	if len(next) > 0 { // not before: the copy needs the threads, and the device waits for it
		v.begin(ctx, next)
	}
	return nil
}

// upload writes images to the device's memory.
func (v *images) upload(dst Memory, from room) error {
	if v.coded != nil {
		return v.device.UploadCoded(dst, from.bytes, v.coded.Code())
	}
	return v.device.Upload(dst, from.values)
}

// begin starts to read.
func (v *images) begin(ctx context.Context, rows []int) {
	// The end of a call must not spoil what another will take.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n := len(rows) * v.size
	if v.coded != nil {
		v.room.bytes = slices.Grow(v.room.bytes[:0], n)[:n]
	} else {
		v.room.values = slices.Grow(v.room.values[:0], n)[:n]
	}
	r := &reading{rows: slices.Clone(rows), host: v.room, cancel: cancel, done: make(chan struct{})}
	v.ahead = r
	go func() {
		defer close(r.done)
		// One thread is left to what gives the device its work.
		r.err = v.readTo(ctx, r.rows, r.host, max(1, v.threads-1))
	}()
}

// drop ends what is being read.
func (v *images) drop() {
	if v.ahead == nil {
		return
	}
	v.ahead.cancel()
	<-v.ahead.done
	v.ahead = nil
}

// close gives the memory back.
func (v *images) close() {
	v.drop()
	v.room = room{}
}

// readTo writes the images at the given positions to dst, on so many threads. Of
// several errors it returns that of the first position.
func (v *images) readTo(ctx context.Context, rows []int, dst room, threads int) error {
	var (
		next   atomic.Int64
		failed atomic.Bool
		errs   = make([]error, len(rows))
		wait   sync.WaitGroup
	)
	work := func() {
		// Rows are taken in order, so that all before one that fails are read, too.
		for !failed.Load() {
			j := int(next.Add(1)) - 1
			if j >= len(rows) {
				return
			}
			if errs[j] = v.readOne(ctx, v.order[rows[j]], dst.part(j*v.size, v.size)); errs[j] != nil {
				failed.Store(true)
			}
		}
	}
	for range min(threads, len(rows)) - 1 {
		wait.Go(work)
	}
	work()
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// readOne writes the image of example i to dst. Where a decoder panics, that is the
// example's error: nobody else would catch it.
func (v *images) readOne(ctx context.Context, i int, dst room) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err != nil {
			err = fmt.Errorf("%s %d: %w", v.name, i, err)
		}
	}()
	if dst.bytes != nil {
		return v.coded.ReadBytes(i, dst.bytes)
	}
	return v.examples.Read(i, dst.values)
}
