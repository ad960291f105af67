package graph

import (
	"errors"
	"fmt"
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

// OnHost names the operations of the network, and of the gradients of all its
// weights, that a device leaves to the host, each with the node that needs it
// first: those that has denies a kernel for. The list is sorted by name.
func (n *Network) OnHost(has func(o op.Op, out op.Type, in ...op.Type) bool) ([]string, error) {
	s, err := n.compileSpan(wholeSpan(n))
	if err != nil {
		return nil, err
	}
	first := map[string]string{}
	for _, node := range s.graph.Expr.AllNodes() {
		a, ok := node.Op().(*op.Applied)
		if !ok || has(a.Op, a.Out, a.In...) {
			continue
		}
		if _, found := first[a.Op.Name()]; !found {
			first[a.Op.Name()] = s.graph.Label(node)
		}
	}
	var names []string
	for name, label := range first {
		if label != "" {
			name = fmt.Sprintf("%s (%s)", name, label)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// wholeSpan is the backward pass of all weights in one span.
func wholeSpan(n *Network) spanKind {
	all := spanKind{to: len(n.Necks) - 1, backward: true, losses: true}
	for i := range n.Weights {
		all.want = append(all.want, i)
	}
	return all
}
