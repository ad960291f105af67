//go:build gpu && linux && cgo

package driver

import (
	"cmp"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// Stream is a queue of work for the device: what is put in is done in that order, some time after the call that put it
// in has returned. An error of a kernel shows in a later call, at the latest in Sync.
type Stream struct {
	device *Device
	stream cu.Stream

	mu   sync.Mutex // guards blas
	blas *blas      // made by the first matrix product
}

// NewStream makes a queue whose work the device may do at the same time as that of others. It lives until the device
// is closed.
func (d *Device) NewStream() (*Stream, error) {
	s := &Stream{device: d}
	err := d.do("cuStreamCreate", func() (err error) {
		s.stream, err = cu.MakeStream(cu.NonBlocking)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streams = append(d.streams, s)
	return s, nil
}

func (s *Stream) close() error {
	first := s.Sync()
	if s.blas != nil {
		first = cmp.Or(first, s.blas.close())
	}
	return cmp.Or(first, s.device.do("cuStreamDestroy", s.stream.Destroy))
}

// Upload copies to the device. From memory of AllocHost, the call returns before src is read; from other memory, after.
func (s *Stream) Upload(dst Ptr, src []byte) error {
	if len(src) == 0 {
		return nil
	}
	return s.device.do("cuMemcpyHtoDAsync", func() error {
		return cu.MemcpyHtoDAsync(cu.DevicePtr(dst), unsafe.Pointer(&src[0]), int64(len(src)), s.stream)
	})
}

// Download copies from the device. To memory of AllocHost, the call returns before dst is written; to other memory,
// after.
func (s *Stream) Download(dst []byte, src Ptr) error {
	if len(dst) == 0 {
		return nil
	}
	return s.device.do("cuMemcpyDtoHAsync", func() error {
		return cu.MemcpyDtoHAsync(unsafe.Pointer(&dst[0]), cu.DevicePtr(src), int64(len(dst)), s.stream)
	})
}

// Copy copies within the device's memory.
func (s *Stream) Copy(dst, src Ptr, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	return s.device.do("cuMemcpyDtoDAsync", func() error {
		return cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), bytes, s.stream)
	})
}

// Clear sets memory of the device to zero.
func (s *Stream) Clear(dst Ptr, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	return s.device.do("cuMemsetD8Async", func() error {
		return cu.MemsetD8Async(cu.DevicePtr(dst), 0, bytes, s.stream)
	})
}

// Launch runs a kernel with a grid of blocks of threads, both (x, y, z), and that much dynamic shared memory. The
// arguments must be those that the kernel declares, in number and type: nothing checks it.
func (s *Stream) Launch(f *Function, grid, block [3]int, sharedBytes int, args ...Arg) error {
	var room [24]unsafe.Pointer
	params := room[:0]
	for i := range args {
		params = append(params, unsafe.Pointer(&args[i]))
	}
	err := s.device.do("cuLaunchKernel", func() error {
		return f.function.Launch(grid[0], grid[1], grid[2], block[0], block[1], block[2], sharedBytes, s.stream, params)
	})
	if err != nil {
		return fmt.Errorf("kernel %s, grid %v, block %v: %w", f.name, grid, block, err)
	}
	return nil
}

// Sync waits until all that was put in is done.
func (s *Stream) Sync() error {
	return s.device.do("cuStreamSynchronize", s.stream.Synchronize)
}

// Record puts in a mark: the event happens when all before it is done.
func (s *Stream) Record(e *Event) error {
	return s.device.do("cuEventRecord", func() error { return e.event.Record(s.stream) })
}

// Wait has what is put in later wait for the event, which another stream may have recorded.
func (s *Stream) Wait(e *Event) error {
	return s.device.do("cuStreamWaitEvent", func() error { return s.stream.Wait(e.event, 0) })
}

// Time returns how long the device takes for what f puts in.
func (s *Stream) Time(f func() error) (time.Duration, error) {
	start, err := s.device.NewEvent()
	if err != nil {
		return 0, err
	}
	defer start.Close()
	end, err := s.device.NewEvent()
	if err != nil {
		return 0, err
	}
	defer end.Close()
	if err := s.Record(start); err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	if err := s.Record(end); err != nil {
		return 0, err
	}
	if err := end.Sync(); err != nil {
		return 0, err
	}
	return end.Since(start)
}

// Event is a mark in a stream.
type Event struct {
	device *Device
	event  cu.Event
}

// NewEvent makes an event, which can be recorded any number of times.
func (d *Device) NewEvent() (*Event, error) {
	e := &Event{device: d}
	err := d.do("cuEventCreate", func() (err error) {
		e.event, err = cu.MakeEvent(cu.DefaultEvent)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Sync waits until the event, as recorded last, has happened.
func (e *Event) Sync() error {
	return e.device.do("cuEventSynchronize", e.event.Synchronize)
}

// Since returns the time on the device between two events that have happened, to about half a microsecond.
func (e *Event) Since(start *Event) (time.Duration, error) {
	var milliseconds float64
	err := e.device.do("cuEventElapsedTime", func() (err error) {
		milliseconds, err = start.event.Elapsed(e.event)
		return err
	})
	return time.Duration(milliseconds * float64(time.Millisecond)), err
}

// Close gives the event back.
func (e *Event) Close() error {
	return e.device.do("cuEventDestroy", func() error { return cu.DestroyEvent(&e.event) })
}
