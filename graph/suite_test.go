//go:build gpu && linux && cgo

package graph

import (
	"os"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// TestMain runs this package's tests on a device, the fake one or a GPU, where
// MODELDOCTOR_TEST_DEVICE is set.
func TestMain(m *testing.M) {
	if os.Getenv("MODELDOCTOR_TEST_DEVICE") != "" {
		if err := fake.Install(); err != nil {
			panic(err)
		}
		d, err := gpu.Open(gpu.Options{Threads: 1})
		if err != nil {
			panic(err)
		}
		var machines []*exec.Machine
		testDevice = func() Device { return &suiteDevice{d, &machines} }
	}
	os.Exit(m.Run())
}

// suiteDevice is a device that all tests share. They do not close their runners:
// it closes the machines that were made long before.
type suiteDevice struct {
	device   *gpu.Device
	machines *[]*exec.Machine
}

func (s *suiteDevice) NewMachine() *exec.Machine {
	const inUse = 20
	m := s.device.NewMachine()
	if *s.machines = append(*s.machines, m); len(*s.machines) > inUse {
		(*s.machines)[0].Close()
		*s.machines = (*s.machines)[1:]
	}
	return m
}

func (s *suiteDevice) DownloadArray(dst, src op.Array) error { return s.device.DownloadArray(dst, src) }
