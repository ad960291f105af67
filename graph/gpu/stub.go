//go:build !(gpu && linux && cgo)

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Device is a GPU that computes operations.
type Device struct{}

// Open reports that this program was built without GPU support.
func Open(o Options) (*Device, error) {
	_, err := driver.Open(o.Ordinal)
	return nil, err
}

// What follows lets callers compile. There is no Device, so none of it is ever called.

func (d *Device) Close() error                          { return nil }
func (d *Device) String() string                        { return "" }
func (d *Device) NewMachine() *exec.Machine             { return nil }
func (d *Device) DownloadArray(dst, src op.Array) error { return nil }

// HasKernel reports false: there is no device.
func HasKernel(o op.Op, out op.Type, in ...op.Type) bool { return false }
