//go:build !(gpu && linux && cgo)

package driver

import (
	"errors"
	"time"
)

// Supported says whether this program was built with what it takes to use a GPU.
const Supported = false

var errWithout = errors.New("built without GPU support (rebuild with -tags gpu, on Linux and with cgo)")

// Open reports that this program was built without GPU support.
func Open(ordinal int) (*Device, error) { return nil, errWithout }

// List reports that this program was built without GPU support.
func List() ([]Info, error) { return nil, errWithout }

// What follows lets callers compile. There is no Device, so none of it is ever called.

// Device is a GPU.
type Device struct{ *Stream }

// Stream is a queue of work for a device.
type Stream struct{}

// Module is a set of kernels on a device.
type Module struct{}

// Function is a kernel.
type Function struct{}

// Event is a mark in a stream.
type Event struct{}

func (d *Device) Info() Info                                       { return Info{} }
func (d *Device) FreeMemory() (free, total int64, err error)       { return 0, 0, errWithout }
func (d *Device) Close() error                                     { return errWithout }
func (d *Device) Alloc(bytes int64) (p Ptr, err error)             { return 0, errWithout }
func (d *Device) Free(p Ptr) error                                 { return errWithout }
func (d *Device) AllocHost(bytes int64) (memory []byte, err error) { return nil, errWithout }
func (d *Device) FreeHost(memory []byte) error                     { return errWithout }
func (d *Device) Load(ptx []byte) (*Module, error)                 { return nil, errWithout }
func (d *Device) NewStream() (*Stream, error)                      { return nil, errWithout }
func (d *Device) NewEvent() (*Event, error)                        { return nil, errWithout }

func (s *Stream) Upload(dst Ptr, src []byte) error           { return errWithout }
func (s *Stream) Download(dst []byte, src Ptr) error         { return errWithout }
func (s *Stream) Copy(dst, src Ptr, bytes int64) error       { return errWithout }
func (s *Stream) Clear(dst Ptr, bytes int64) error           { return errWithout }
func (s *Stream) Sync() error                                { return errWithout }
func (s *Stream) Record(e *Event) error                      { return errWithout }
func (s *Stream) Wait(e *Event) error                        { return errWithout }
func (s *Stream) Time(f func() error) (time.Duration, error) { return 0, errWithout }

func (s *Stream) Launch(f *Function, grid, block [3]int, sharedBytes int, args ...Arg) error {
	return errWithout
}

func (s *Stream) Gemm(p Precision, m, n, k int, alpha float32, a, b Matrix, beta float32, c Matrix) error {
	return errWithout
}

func (s *Stream) GemmBatch(p Precision, batch, m, n, k int, alpha float32, a, b Matrix, beta float32, c Matrix) error {
	return errWithout
}

func (s *Stream) GemmAdd(p Precision, m, n, k int, a, b Matrix, bias, residual Ptr, c Matrix) (done bool, err error) {
	return false, errWithout
}

func (m *Module) Function(name string) (*Function, error) { return nil, errWithout }
func (m *Module) Unload() error                           { return errWithout }

func (e *Event) Sync() error                               { return errWithout }
func (e *Event) Since(start *Event) (time.Duration, error) { return 0, errWithout }
func (e *Event) Close() error                              { return errWithout }
