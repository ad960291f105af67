package graph

import (
	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/nn"

	"gorgonia.org/gorgonia"
)

// Device is what a [Runner] computes on. All that is in its memory is float32, but
// for what runs keep for themselves, and the Data of an [op.Array] of float32 on it
// is the [nn.Memory] of its elements.
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

// shared is an array of the host that runs on the device read.
type shared struct {
	host   op.Array
	device op.Array // Data is nil before it is first needed
	stale  bool     // the device's is not what the host's is
}

// set sets an element of the host's array, whose Data is []T.
func set[T comparable](a *shared, i int, x T) {
	if all := a.host.Data.([]T); all[i] != x {
		all[i], a.stale = x, true
	}
}

// bind gives a node of a span what the host's array is now.
func (a *shared) bind(d Device, s *span, n *gorgonia.Node) (err error) {
	switch {
	case a.device.Data == nil:
		a.device, err = d.Share(a.host)
	case a.stale:
		err = d.Update(a.device, a.host)
	}
	if err != nil {
		return err
	}
	a.stale = false
	s.plan.Bind(n, op.Array{Type: s.graph.TypeOf(n), Data: a.device.Data})
	return nil
}
