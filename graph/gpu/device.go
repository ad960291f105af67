//go:build gpu && linux && cgo

package gpu

import (
	"cmp"
	"errors"
	"fmt"

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
	used      int64           // bytes that are, with what products will take
	work      Memory          // scratch, of the operation that runs
	stages    stages          // of uploads
	shared    []Memory        // copies of the host's arrays, until the end
	constants map[driver.Ptr]*constant
	types     []op.Type       // of the operands of the operation that runs
	arrays    []kernels.Array // and where they are
	bfloat16  []bool          // and which of them are so held
}

// Open opens a device. The error says what is missing and what to do.
func Open(o Options) (*Device, error) {
	dev, err := driver.Open(o.Ordinal)
	if err != nil {
		return nil, err
	}
	k, err := kernels.Load(dev)
	if err != nil {
		_ = dev.Close() // the first error says more
		return nil, err
	}
	return &Device{
		driver: dev, queue: k.On(dev.Stream), precision: o.Precision, host: kernel.NewContext(o.Threads),
		limit: o.Memory, used: driver.WorkspaceBytes, constants: map[driver.Ptr]*constant{},
	}, nil
}

// Close gives back all that the device holds. Memory that has not been freed is
// gone.
func (d *Device) Close() error {
	first := d.driver.Sync()
	first = cmp.Or(first, d.stages.close(d.driver))
	for _, m := range append(d.shared, d.work) {
		first = cmp.Or(first, d.free(m))
	}
	d.shared, d.work = nil, Memory{}
	return cmp.Or(first, d.driver.Close())
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

// Memory is the number of bytes that may be taken of the device's memory; 0 if the
// device does not say.
func (d *Device) Memory() int64 {
	free, _, err := d.driver.FreeMemory()
	switch {
	case err != nil:
		return d.limit
	case d.limit > 0:
		return min(d.limit, free+d.used)
	}
	return free + d.used
}

// String names the device, as for a report.
func (d *Device) String() string {
	return fmt.Sprintf("gpu %d %s", d.driver.Info().Ordinal, d.Arithmetic())
}

// Arithmetic names what the bits of results depend on: the kind of device and the
// precision of products.
func (d *Device) Arithmetic() string { return fmt.Sprintf("%s %v", d.driver.Info().Name, d.precision) }
