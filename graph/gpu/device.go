//go:build gpu && linux && cgo

package gpu

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/exec"
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
	limit     int64           // bytes that may be taken; 0: all
	used      int64           // bytes that are
	work      Memory          // scratch, of the operation that runs
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
	return &Device{driver: dev, queue: k.On(dev.Stream), precision: o.Precision, limit: o.Memory, host: kernel.NewContext(o.Threads)}, nil
}

// Close gives back all that the device holds. Memory that has not been freed is
// gone.
func (d *Device) Close() error {
	freed := d.free(d.work)
	d.work = Memory{}
	return cmp.Or(freed, d.driver.Close())
}

// Forward puts the computation of an operation into the device's queue, or
// computes it on the host and returns when that is done. The arrays are in the
// device's memory, out apart from the operands.
func (d *Device) Forward(o op.Op, out op.Array, in ...op.Array) error {
	types := make([]op.Type, len(in))
	for i, a := range in {
		types[i] = a.Type
	}
	if err := d.prepare(o, out.Type, types)(out, in); err != nil {
		return fmt.Errorf("%s: %w", o.Name(), err)
	}
	return nil
}

// prepare returns what computes an operation on arrays of these types.
func (d *Device) prepare(o op.Op, out op.Type, in []op.Type) exec.Kernel {
	if _, ok := o.(op.View); ok {
		return func(out op.Array, in []op.Array) error {
			return d.driver.Copy(address(out), address(in[0]), bytesOf(out.Type))
		}
	}
	l := launchOf(site{o, out, in, d.precision})
	if l == nil {
		return func(out op.Array, in []op.Array) error { return d.onHost(o, out, in) }
	}
	addresses := make([]driver.Ptr, len(in))
	return func(out op.Array, in []op.Array) error {
		work, err := d.scratch(l.work)
		if err != nil {
			return err
		}
		for i, a := range in {
			addresses[i] = address(a)
		}
		if err := l.run(call{d.queue, address(out), addresses, work}); err != nil {
			return d.explain(err)
		}
		return nil
	}
}

// explain prefers the error of a lost device to what cuBLAS makes of it.
func (d *Device) explain(err error) error {
	var lost *driver.Error
	if sync := d.driver.Sync(); errors.As(sync, &lost) && lost.DeviceLost() {
		return lost
	}
	return err
}

// scratch returns memory for the operation that is put into the queue next. It
// grows to what the hungriest one needs.
func (d *Device) scratch(bytes int64) (driver.Ptr, error) {
	if bytes <= d.work.bytes {
		return d.work.address, nil
	}
	old := d.work
	d.work = Memory{}
	if err := d.free(old); err != nil {
		return 0, err
	}
	var err error
	d.work, err = d.alloc(bytes)
	return d.work.address, err
}

// onHost computes an operation on the host.
func (d *Device) onHost(o op.Op, out op.Array, in []op.Array) error {
	operands := make([]op.Array, len(in))
	for i, a := range in {
		operands[i] = op.NewArray(a.Type)
		if err := d.driver.Download(bytes(operands[i]), address(a)); err != nil {
			return err
		}
	}
	if err := d.driver.Sync(); err != nil {
		return err
	}
	result := op.NewArray(out.Type)
	o.Forward(d.host, result, operands)
	return d.driver.Upload(address(out), bytes(result))
}

// String names the device and how it computes, for reports.
func (d *Device) String() string {
	info := d.driver.Info()
	return fmt.Sprintf("gpu %d %s %v", info.Ordinal, info.Name, d.precision)
}
