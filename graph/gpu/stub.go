//go:build !(gpu && linux && cgo)

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Device is a GPU that computes operations.
type Device struct {
	vectors
	operations
}

type (
	vectors    interface{ nn.Device }
	operations interface{ exec.Device }
)

// Open reports that this program was built without GPU support.
func Open(o Options) (*Device, error) {
	_, err := driver.Open(o.Ordinal)
	return nil, err
}

// HasKernel reports false: there is no device.
func HasKernel(o op.Op, out op.Type, in ...op.Type) bool { return false }

// What follows lets callers compile. There is no Device, so none of it is called.

func (d *Device) Close() error       { return nil }
func (d *Device) Memory() int64      { return 0 }
func (d *Device) String() string     { return "" }
func (d *Device) Arithmetic() string { return "" }
