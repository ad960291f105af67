//go:build gpu && linux && cgo

package gpu

import (
	"fmt"
	"unsafe"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Memory is a piece of a device's memory: the data of its arrays, whose elements
// are float32, float64, int64 or, a byte each, truth values, as op.ClassOf says.
type Memory struct {
	address  driver.Ptr // 0 where there are no bytes
	bytes    int64
	bfloat16 bool // in the place of float32
}

// BFloat16 reports whether elements that stand for float32 are bfloat16.
func (m Memory) BFloat16() bool { return m.bfloat16 }

// array is the memory as kernels take it.
func (m Memory) array() kernels.Array { return kernels.Array{Data: m.address, BFloat16: m.bfloat16} }

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

// DownloadArray copies an array of the device to one of the same type of the host,
// once it is computed.
func (d *Device) DownloadArray(dst, src op.Array) error {
	from := src.Data.(Memory).array()
	if from.BFloat16 {
		work, err := d.scratch(bytesOf(src.Type))
		if err != nil {
			return err
		}
		if err := kernels.Convert(d.queue, from, kernels.Float32(work), src.Elements()); err != nil {
			return err
		}
		from = kernels.Float32(work)
	}
	if err := d.driver.Download(bytes(dst), from.Data); err != nil {
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
	return Memory{address: p, bytes: bytes}, nil
}

func (d *Device) free(m Memory) error {
	if m.address == 0 {
		return nil
	}
	d.used -= m.bytes
	return d.driver.Free(m.address)
}
