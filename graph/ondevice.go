package graph

import (
	"errors"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Device is what a [Runner] runs on where that is not the host.
type Device interface {
	// NewMachine returns a machine in the device's memory, which takes bound arrays
	// of the host, too.
	NewMachine() *exec.Machine
	// DownloadArray copies an array of such a machine to one of the same type of
	// the host.
	DownloadArray(dst, src op.Array) error
}

// testDevice is the device of runners that are given none, in tests of this package.
var testDevice func() Device

// OutOfMemory reports whether an error says that a device has no room. With a
// smaller batch it may have.
func OutOfMemory(err error) bool {
	var full interface{ OutOfMemory() bool }
	return errors.As(err, &full) && full.OutOfMemory()
}

// read returns the elements of an array of the runner's machine, until the next
// call at most.
func (r *Runner) read(a op.Array) ([]float32, error) {
	if r.device == nil {
		return op.Elem[float32](a), nil
	}
	n := a.Elements()
	r.downloaded = slices.Grow(r.downloaded[:0], n)[:n]
	return r.downloaded, r.device.DownloadArray(op.Array{Type: a.Type, Data: r.downloaded}, a)
}
