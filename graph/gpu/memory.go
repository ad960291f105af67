//go:build gpu && linux && cgo

package gpu

import (
	"fmt"
	"unsafe"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Memory is a piece of a device's memory: the data of its arrays, whose elements
// are float32, float64, int64 or, a byte each, truth values, as op.ClassOf says.
type Memory struct {
	address driver.Ptr // 0 where there are no bytes
	bytes   int64
}

func address(a op.Array) driver.Ptr { return a.Data.(Memory).address }

func bytesOf(t op.Type) int64 { return int64(t.Elements()) * int64(op.ElementBytes(t.DType)) }

// bytes is the memory of an array of the host.
func bytes(a op.Array) []byte {
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

// NewArray returns an array in the device's memory, uncleared.
func (d *Device) NewArray(t op.Type) (op.Array, error) {
	m, err := d.alloc(bytesOf(t))
	return op.Array{Type: t, Data: m}, err
}

// UploadArray copies an array of the host to one of the same type on the device.
func (d *Device) UploadArray(dst, src op.Array) error {
	return d.driver.Upload(address(dst), bytes(src))
}

// DownloadArray copies an array of the device to one of the same type of the host,
// once it is computed.
func (d *Device) DownloadArray(dst, src op.Array) error {
	if err := d.driver.Download(bytes(dst), address(src)); err != nil {
		return err
	}
	return d.driver.Sync()
}

// FreeArray gives an array of NewArray back.
func (d *Device) FreeArray(a op.Array) error { return d.free(a.Data.(Memory)) }

// alloc returns uncleared memory, unless it is beyond the limit.
func (d *Device) alloc(bytes int64) (Memory, error) {
	if bytes == 0 {
		return Memory{}, nil
	}
	var p driver.Ptr
	var err error = &driver.Error{Call: "cuMemAlloc", Code: 2, Name: "CUDA_ERROR_OUT_OF_MEMORY",
		Detail: fmt.Sprintf("%d bytes of the %d that may be taken are in use", d.used, d.limit)}
	if d.limit == 0 || bytes <= d.limit-d.used {
		p, err = d.driver.Alloc(bytes)
	}
	if err != nil {
		return Memory{}, fmt.Errorf("%d bytes of device memory: %w", bytes, err)
	}
	d.used += bytes
	return Memory{p, bytes}, nil
}

func (d *Device) free(m Memory) error {
	if m.address == 0 {
		return nil
	}
	d.used -= m.bytes
	return d.driver.Free(m.address)
}

// NewMachine returns a machine that runs plans on the device. Bound arrays may be
// the device's or the host's; those of the host are copied at every run.
func (d *Device) NewMachine() *exec.Machine { return exec.On(&backend{device: d}) }

// backend is a device as a machine sees it.
type backend struct {
	device *Device
	inputs []Memory // of arrays that the host gives
}

func (b *backend) Alloc(bytes int64) (any, error) {
	m, err := b.device.alloc(bytes)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Free ignores errors: on a device that is lost memory cannot be freed.
func (b *backend) Free(arena any) { b.device.free(arena.(Memory)) }

func (*backend) View(arena any, offset int64, t op.Type) any {
	return Memory{arena.(Memory).address + driver.Ptr(offset), bytesOf(t)}
}

func (b *backend) Prepare(o op.Op, out op.Type, in []op.Type) exec.Kernel {
	return b.device.prepare(o, out, in)
}

func (b *backend) Bring(a op.Array, room *any) (any, error) {
	if m, ok := a.Data.(Memory); ok {
		if m.bytes != bytesOf(a.Type) {
			panic(fmt.Sprintf("gpu: %d bytes for %v", m.bytes, a.Type))
		}
		return a.Data, nil
	}
	if *room == nil {
		m, err := b.device.alloc(bytesOf(a.Type))
		if err != nil {
			return nil, err
		}
		b.inputs = append(b.inputs, m)
		*room = m
	}
	return *room, b.device.driver.Upload((*room).(Memory).address, bytes(a))
}

func (b *backend) SetCancel(done <-chan struct{}) { b.device.host.SetCancel(done) }
func (b *backend) Wait() error                    { return b.device.driver.Sync() }

// Close ignores errors, as Free does.
func (b *backend) Close() {
	for _, m := range b.inputs {
		b.device.free(m)
	}
	b.inputs = nil
}
