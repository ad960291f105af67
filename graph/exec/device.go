package exec

import (
	"fmt"
	"unsafe"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// A Device is what a [Machine] computes on. Its arrays have a Data that only the
// device knows the inside of; those of the host are slices.
type Device interface {
	// BFloat16 reports whether the device takes plans with Config.BFloat16. It
	// computes with such arrays in float32 and rounds the results.
	BFloat16() bool
	// Arena returns memory of so many bytes, aligned to 64.
	Arena(bytes int64) (Arena, error)
	// Share makes a host's array, which is not written, an operand of steps: it is
	// copied to the device, and of the host itself.
	Share(a op.Array) (op.Array, error)
	// Update makes dst, which Share has returned for src, what src is now.
	Update(dst, src op.Array) error
	// Forward computes one step. An operation that the device has no kernel for it
	// computes on the host, between two copies.
	Forward(o Operation, out op.Array, in []op.Array) error
	// SetCancel makes Forward return early, with any result, once done is closed.
	SetCancel(done <-chan struct{})
}

// An Arena is a block of a device's memory.
type Arena interface {
	// Data is that of an array of type t at an offset, a multiple of 64: of float32
	// held in bfloat16, with two bytes each, if that is asked for (Device.BFloat16).
	Data(t op.Type, offset int64, bfloat16 bool) any
	// Free gives the memory back. What Data has returned is no longer read.
	Free()
}

// Kernels is the host as a device.
type Kernels struct{ context *kernel.Context }

// NewKernels returns the host, computing with c.
func NewKernels(c *kernel.Context) Kernels { return Kernels{c} }

// Threads is the number that the host computes on, 0 if it has no context.
func (k Kernels) Threads() int {
	if k.context == nil {
		return 0
	}
	return k.context.Threads()
}

var _ Device = Kernels{}

func (k Kernels) BFloat16() bool                     { return false }
func (k Kernels) Arena(bytes int64) (Arena, error)   { return arena(alignedBytes(bytes)), nil }
func (k Kernels) Share(a op.Array) (op.Array, error) { return a, nil }
func (k Kernels) Update(dst, src op.Array) error     { return nil }
func (k Kernels) SetCancel(done <-chan struct{})     { k.context.SetCancel(done) }
func (k Kernels) Forward(o Operation, out op.Array, in []op.Array) error {
	o.Forward(k.context, out, in)
	return nil
}

// arena is one of the host.
type arena []byte

func (a arena) Free() {}

// Data returns the bytes as elements. Their content is undefined: an Op overwrites
// its whole result.
func (a arena) Data(t op.Type, offset int64, bfloat16 bool) any {
	if bfloat16 {
		panic("exec: the host has no arrays of bfloat16")
	}
	start, n := unsafe.Pointer(unsafe.SliceData(a[offset:])), t.Elements()
	switch op.ClassOf(t.DType) {
	case op.ClassFloat32:
		return unsafe.Slice((*float32)(start), n)
	case op.ClassFloat64:
		return unsafe.Slice((*float64)(start), n)
	case op.ClassInt:
		return unsafe.Slice((*int64)(start), n)
	case op.ClassBool:
		return unsafe.Slice((*bool)(start), n)
	}
	panic(fmt.Sprintf("exec: no memory for %v", t)) // Compile refuses such types
}

// alignedBytes allocates n bytes at an address that is a multiple of alignment.
func alignedBytes(n int64) []byte {
	b := make([]byte, n+alignment)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % alignment
	return b[skip:][:n:n]
}
