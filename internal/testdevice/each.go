package testdevice

import (
	"os"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	fakedevice "github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Device is a graph.Device. It is stated anew so that the tests within package graph
// can import this one.
type Device interface {
	nn.Device
	exec.Device
}

// Backend is what a test computes on.
type Backend struct {
	Name   string // cpu, fake or gpu
	Device Device // nil: the host. Its products are of float32
}

// OnHost reports whether b is the host, whose results are those that others are
// compared with.
func (b Backend) OnHost() bool { return b.Device == nil }

// Each runs body as a subtest on each backend, named after it, unless the list leaves it out. Devices are open until
// their subtest ends, which fails if anything is left on them.
func Each(t *testing.T, body func(t *testing.T, b Backend)) {
	t.Helper()
	t.Run(host, func(t *testing.T) { body(t, Backend{Name: host}) })
	name := device()
	if name == "" {
		if os.Getenv(fakedevice.Variable) == card {
			t.Errorf("%s=%s, but this test was built without GPU support (-tags gpu)", fakedevice.Variable, card)
		}
		return
	}
	caller := callerOfEach()
	t.Run(name, func(t *testing.T) {
		leaveOut(t, caller, name)
		body(t, Backend{Name: name, Device: openDefault(t)})
	})
}

// The names of backends.
const (
	host = "cpu"
	fake = "fake"
	card = "gpu"
)
