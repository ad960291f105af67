//go:build gpu && linux && cgo

package gpu

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Device is a GPU that computes operations. It is for one goroutine at a time.
type Device struct {
	driver    *driver.Device
	queue     kernels.Queue
	precision driver.Precision
	host      *kernel.Context // of operations that the device cannot compute
	work      driver.Ptr      // scratch memory of the operation that runs
	workBytes int64
}

// Open opens a device. The error says what is missing and what to do.
func Open(o Options) (*Device, error) {
	dev, err := driver.Open(o.Ordinal)
	if err != nil {
		return nil, err
	}
	k, err := kernels.Load(dev)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return &Device{driver: dev, queue: k.On(dev.Stream), precision: o.Precision, host: kernel.NewContext(o.Threads)}, nil
}

// Close gives back all that the device holds.
func (d *Device) Close() error {
	var freed error
	if d.work != 0 {
		freed = d.driver.Free(d.work)
	}
	if err := d.driver.Close(); err != nil {
		return err
	}
	return freed
}

// Array is a dense row-major tensor in a device's memory: elements of float32,
// float64, int64 or bool, one byte each, as op.ClassOf says for the type.
type Array struct {
	op.Type
	Data driver.Ptr // 0 where there are no elements
}

func (a Array) bytes() int64 { return bytesOf(a.Type) }

func bytesOf(t op.Type) int64 { return int64(t.Elements()) * int64(op.ElementBytes(t.DType)) }

// Alloc returns memory for an array, uncleared.
func (d *Device) Alloc(t op.Type) (Array, error) {
	a := Array{Type: t}
	if a.bytes() == 0 {
		return a, nil
	}
	var err error
	a.Data, err = d.driver.Alloc(a.bytes())
	return a, err
}

// Free gives memory of Alloc back.
func (d *Device) Free(a Array) error {
	if a.Data == 0 {
		return nil
	}
	return d.driver.Free(a.Data)
}

// Upload copies an array of the same type to the device.
func (d *Device) Upload(dst Array, src op.Array) error {
	return d.driver.Upload(dst.Data, memoryOf(src))
}

// Download copies an array of the same type from the device, once it is computed.
func (d *Device) Download(dst op.Array, src Array) error {
	if err := d.driver.Download(memoryOf(dst), src.Data); err != nil {
		return err
	}
	return d.driver.Sync()
}

// Forward puts the computation of an operation into the device's queue, or
// computes it on the host and returns when that is done. out shares no memory
// with the operands.
func (d *Device) Forward(o op.Op, out Array, in ...Array) error {
	types, addresses := make([]op.Type, len(in)), make([]driver.Ptr, len(in))
	for i, a := range in {
		types[i], addresses[i] = a.Type, a.Data
	}
	if err := d.forward(site{o, out.Type, types, d.precision}, out, in, addresses); err != nil {
		return fmt.Errorf("%s: %w", o.Name(), d.explain(err))
	}
	return nil
}

// explain prefers the error of a lost device to what cuBLAS makes of it.
func (d *Device) explain(err error) error {
	var lost *driver.Error
	if sync := d.driver.Sync(); errors.As(sync, &lost) && lost.DeviceLost() {
		return lost
	}
	return err
}

func (d *Device) forward(s site, out Array, in []Array, addresses []driver.Ptr) error {
	if _, ok := s.op.(op.View); ok {
		return d.driver.Copy(out.Data, in[0].Data, out.bytes())
	}
	l := launchOf(s)
	if l == nil {
		return d.onHost(s.op, out, in)
	}
	work, err := d.scratch(l.work)
	if err != nil {
		return err
	}
	return l.run(call{d.queue, out.Data, addresses, work})
}

// scratch returns memory for the operation that is put into the queue next. It
// grows to what the hungriest one needs.
func (d *Device) scratch(bytes int64) (driver.Ptr, error) {
	if bytes <= d.workBytes {
		return d.work, nil
	}
	if d.work != 0 {
		if err := d.driver.Free(d.work); err != nil {
			return 0, err
		}
		d.work, d.workBytes = 0, 0
	}
	work, err := d.driver.Alloc(bytes)
	if err != nil {
		return 0, fmt.Errorf("scratch memory of %d bytes: %w", bytes, err)
	}
	d.work, d.workBytes = work, bytes
	return work, nil
}

// onHost computes an operation on the host.
func (d *Device) onHost(o op.Op, out Array, in []Array) error {
	operands := make([]op.Array, len(in))
	for i, a := range in {
		operands[i] = op.NewArray(a.Type)
		if err := d.driver.Download(memoryOf(operands[i]), a.Data); err != nil {
			return err
		}
	}
	if err := d.driver.Sync(); err != nil {
		return err
	}
	result := op.NewArray(out.Type)
	o.Forward(d.host, result, operands)
	return d.Upload(out, result)
}

// memoryOf is the memory of an array's elements.
func memoryOf(a op.Array) []byte {
	switch x := a.Data.(type) {
	case []float32:
		return driver.Bytes(x)
	case []float64:
		return driver.Bytes(x)
	case []int64:
		return driver.Bytes(x)
	case []bool:
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
	}
	panic(fmt.Sprintf("gpu: array of %v holds %T", a.Type, a.Data))
}
