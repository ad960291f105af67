//go:build gpu && linux && cgo

package graph

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// TestKernels: the device itself computes every operation of the zoo's networks
// and of their gradients, but for those listed.
func TestKernels(t *testing.T) {
	for _, root := range []string{filepath.Join("..", "fixtures"), shareddata.Path(t, "zoo")} {
		paths, err := filepath.Glob(filepath.Join(root, "*", "model.onnx"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no models in %s: %v", root, err)
		}
		for _, path := range paths {
			m, err := onnx.Open(path)
			if err != nil {
				continue // one that is to be refused
			}
			if n, err := Build(m, Options{Batch: 2}); err == nil {
				name := filepath.Base(filepath.Dir(path))
				if onHost := withoutKernel(t, n); len(onHost) > 0 {
					t.Errorf("%s: %v", name, onHost)
				}
			}
			m.Close()
		}
	}
}

// TestPlansOnDevice: losses and gradients of whole networks, by the same plan on
// the device and on the host.
func TestPlansOnDevice(t *testing.T) {
	for _, name := range fixtureModels {
		t.Run(name, func(t *testing.T) {
			n := openFixture(t, name, Options{Batch: 2})
			host := runAll(t, n, exec.NewMachine(kernel.NewContext(1)), func(a op.Array) op.Array { return a })
			fake.Use(t)
			d, err := gpu.Open(gpu.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			m := d.NewMachine()
			defer m.Close()
			for node, got := range runAll(t, n, m, func(a op.Array) op.Array {
				b := op.NewArray(a.Type)
				if err := d.Download(b, a); err != nil {
					t.Fatal(err)
				}
				return b
			}) {
				optest.CloseTo(t, node, got, host[node], 1e-4)
			}
		})
	}
}

// runAll returns the losses and gradients of a network, by a name of the node.
func runAll(t *testing.T, n *Network, m *exec.Machine, read func(op.Array) op.Array) map[string][]float64 {
	t.Helper()
	s, err := n.compileSpan(wholeSpan(n))
	if err != nil {
		t.Fatal(err)
	}
	in, labels := randomBatch(n, n.Batch)
	r := NewRunner(n, RunnerOptions{Threads: 1})
	r.bind(s, 0, in)
	r.bindLabels(s, labels, 1)
	s.plan.Bind(s.cotangent, op.Array{Type: s.graph.TypeOf(s.cotangent), Data: r.lossCotangent(len(labels))})
	results := map[string][]float64{}
	err = m.Run(context.Background(), s.plan, func(node *gorgonia.Node, a op.Array) error {
		results[fmt.Sprint("gradient of weights ", s.gradients[node])] = slices.Clone(read(a).AsFloats())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	results["losses"] = read(s.plan.Value(s.losses)).AsFloats()
	return results
}

// wholeSpan is the backward pass of all weights in one span.
func wholeSpan(n *Network) spanKind {
	all := spanKind{to: len(n.Necks) - 1, backward: true, losses: true}
	for i := range n.Weights {
		all.want = append(all.want, i)
	}
	return all
}

// withoutKernel names the operations of a network, and of the gradient of all its
// weights, that run on the host.
func withoutKernel(t *testing.T, n *Network) []string {
	t.Helper()
	s, err := n.compileSpan(wholeSpan(n))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for it := s.graph.Expr.Nodes(); it.Next(); {
		node := it.Node().(*gorgonia.Node)
		if a, ok := node.Op().(*op.Applied); ok && !gpu.HasKernel(a.Op, a.Out, a.In...) {
			names = append(names, a.Op.Name()+" of "+a.Out.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
