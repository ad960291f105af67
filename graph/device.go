package graph

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/nn"

	"gorgonia.org/gorgonia"
)

// Device is what a [Runner] computes on. All that is in its memory is float32,
// and the Data of an [op.Array] of float32 on it is the [nn.Memory] of its
// elements.
type Device interface {
	nn.Device
	exec.Device
}

// host is the machine that the program runs on.
type host struct {
	nn.Host
	exec.Kernels
}

var _ Device = host{}

// buffer is memory of a device that grows as needed. What it held is then lost.
type buffer struct {
	memory   nn.Memory
	elements int
}

// grow returns n elements of any value.
func (b *buffer) grow(d nn.Device, n int) (nn.Memory, error) {
	if b.elements < n {
		d.Free(b.memory)
		b.memory, b.elements = nil, 0
		memory, err := d.Alloc(n)
		if err != nil {
			return nil, fmt.Errorf("memory for activations: %w", err)
		}
		b.memory, b.elements = memory, n
	}
	return d.Slice(b.memory, 0, n), nil
}

// shared is an array of the host that runs on the device read.
type shared struct {
	host   op.Array
	device op.Array // Data is nil before it is first needed
}

// bind gives a node of a span what the host's array is now.
func (a *shared) bind(d Device, s *span, n *gorgonia.Node) (err error) {
	if a.device.Data == nil {
		a.device, err = d.Share(a.host)
	} else {
		err = d.Update(a.device, a.host)
	}
	if err == nil {
		s.plan.Bind(n, op.Array{Type: s.graph.TypeOf(n), Data: a.device.Data})
	}
	return err
}
