//go:build gpu && linux && cgo

package driver

/*
#include "cuda.h"
*/
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"gorgonia.org/cu"
)

// Supported says whether this program was built with what it takes to use a GPU.
const Supported = true

// Device is a GPU, opened. What is done in order is done by its main Stream, which it embeds.
type Device struct {
	*Stream
	info    Info
	context cu.CUContext
	closed  atomic.Bool // CUDA does not say what it does with a context that is gone

	mu      sync.Mutex // guards streams
	streams []*Stream
}

var errClosed = errors.New("the device is closed")

// Open loads the driver and cuBLAS and opens a device. The error says what is missing and what to do.
func Open(ordinal int) (*Device, error) {
	list, err := List()
	if err != nil {
		return nil, err
	}
	if ordinal < 0 || ordinal >= len(list) {
		return nil, fmt.Errorf("there is no GPU %d: they are numbered from 0 to %d", ordinal, len(list)-1)
	}
	if _, err := loadCUBLAS(); err != nil {
		return nil, err
	}
	d := &Device{info: list[ordinal]}
	if d.context, err = cu.Device(ordinal).RetainPrimaryCtx(); err != nil {
		return nil, cudaError("cuDevicePrimaryCtxRetain", err)
	}
	if d.Stream, err = d.NewStream(); err != nil {
		_ = d.Close() // the first error says more
		return nil, err
	}
	return d, nil
}

// Close waits for the device and gives back all that it holds: streams, modules and memory are gone. Of several errors
// it returns the first: a lost device fails each step.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var first error
	for _, s := range d.streams {
		first = cmp.Or(first, s.close())
	}
	d.streams = nil
	if d.closed.Swap(true) {
		return errClosed
	}
	return cmp.Or(first, cudaError("cuDevicePrimaryCtxRelease", cu.Device(d.info.Ordinal).ReleasePrimaryCtx()))
}

// do calls f on a thread on which the device's context is current.
func (d *Device) do(call string, f func() error) error {
	if d.closed.Load() {
		return errClosed
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(d.context); err != nil {
		return cudaError("cuCtxSetCurrent", err)
	}
	return cudaError(call, f())
}

// Info describes the device.
func (d *Device) Info() Info { return d.info }

// FreeMemory returns how many bytes of the device's memory no process holds, and how many it has.
func (d *Device) FreeMemory() (free, total int64, err error) {
	err = d.do("cuMemGetInfo", func() (err error) {
		free, total, err = cu.MemInfo()
		return err
	})
	return free, total, err
}

// Alloc returns memory of the device, uncleared, aligned to at least 256 bytes.
func (d *Device) Alloc(bytes int64) (p Ptr, err error) {
	err = d.do("cuMemAlloc", func() error {
		q, err := cu.MemAlloc(bytes)
		p = Ptr(q)
		return err
	})
	return p, err
}

// Free gives memory from Alloc back, once the device has done what it had been given to do.
func (d *Device) Free(p Ptr) error {
	return d.do("cuMemFree", func() error { return cu.MemFree(cu.DevicePtr(p)) })
}

// AllocHost returns pinned memory of the host, uncleared: copies from and to it go at the bus's full speed, and while
// the caller does other things. It is scarce; the garbage collector does not free it.
func (d *Device) AllocHost(bytes int64) (memory []byte, err error) {
	err = d.do("cuMemHostAlloc", func() error {
		var p unsafe.Pointer
		if code := C.cuMemHostAlloc(&p, C.size_t(bytes), 0); code != C.CUDA_SUCCESS {
			return newError("cuMemHostAlloc", int(code))
		}
		memory = unsafe.Slice((*byte)(p), bytes)
		return nil
	})
	return memory, err
}

// FreeHost gives memory from AllocHost back.
func (d *Device) FreeHost(memory []byte) error {
	return d.do("cuMemFreeHost", func() error { return cu.MemFreeHost(unsafe.Pointer(unsafe.SliceData(memory))) })
}
