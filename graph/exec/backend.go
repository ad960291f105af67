package exec

import (
	"fmt"
	"unsafe"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Backend is memory, and what computes on the arrays in it. The data of its arrays
// ([op.Array]) are of a type of its own; those of the host are slices.
type Backend interface {
	// Alloc returns memory for an arena, uncleared.
	Alloc(bytes int64) (arena any, err error)
	// Free gives an arena back.
	Free(arena any)
	// View returns the data of an array at an offset within an arena, a multiple
	// of 64 bytes.
	View(arena any, offset int64, t op.Type) any
	// Prepare returns what computes an operation on arrays of these types.
	Prepare(o op.Op, out op.Type, in []op.Type) Kernel
	// Bring returns the data of a bound array, which may be in the host's memory,
	// as kernels read them. room is the backend's, to keep memory for this input
	// in; nil at first.
	Bring(a op.Array, room *any) (data any, err error)
	// SetCancel has kernels stop early once done is closed; nil has them run to
	// their end. What a kernel that was stopped leaves is undefined.
	SetCancel(done <-chan struct{})
	// Wait waits until all that kernels were given to do is done.
	Wait() error
	// Close gives back what the backend holds for inputs. Plans that have run do
	// not run again.
	Close()
}

// Kernel computes an operation. It may return before that is done, as long as
// later kernels of its backend, and whoever looks at the result, find it done.
type Kernel func(out op.Array, in []op.Array) error

// host is the host's memory.
type host struct{ context *kernel.Context }

func (host) Alloc(bytes int64) (any, error) { return alignedBytes(bytes), nil }
func (host) Free(any)                       {} // the garbage collector does

func (host) View(arena any, offset int64, t op.Type) any {
	return arrayData(t, arena.([]byte)[offset:])
}

func (h host) Prepare(o op.Op, _ op.Type, _ []op.Type) Kernel {
	return func(out op.Array, in []op.Array) error {
		o.Forward(h.context, out, in)
		return nil
	}
}

func (host) Bring(a op.Array, _ *any) (any, error) { return a.Data, nil }
func (h host) SetCancel(done <-chan struct{})      { h.context.SetCancel(done) }
func (host) Wait() error                           { return nil }
func (host) Close()                                {}

// alignedBytes allocates n bytes at an address that is a multiple of alignment.
func alignedBytes(n int64) []byte {
	b := make([]byte, n+alignment)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % alignment
	return b[skip:][:n:n]
}

// arrayData returns memory, which is aligned, as the elements of an array of type
// t. Their content is undefined: an Op overwrites its whole result.
func arrayData(t op.Type, memory []byte) any {
	start, n := unsafe.Pointer(unsafe.SliceData(memory)), t.Elements()
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
