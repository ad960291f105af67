//go:build gpu && linux && cgo

package testdevice

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu"
	fakedevice "github.com/modeldoctor/modeldoctor/graph/gpu/fake"
)

// device is the name of the backend that is no host.
func device() string {
	if fakedevice.Real() {
		return card
	}
	return fake
}

func openDefault(t *testing.T) Device { return Open(t, gpu.Options{Threads: 1}) }

// Open opens the fake device, or the machine's GPU, until the test ends, for tests that
// are of a device or choose how it computes. The test is skipped where neither can be
// had.
func Open(tb testing.TB, o gpu.Options) *gpu.Device {
	tb.Helper()
	fakedevice.Use(tb)
	d, err := gpu.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	fakedevice.CloseAfter(tb, d)
	return d
}
