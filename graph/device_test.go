//go:build gpu && linux && cgo

package graph

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/op"
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

// withoutKernel names the operations of a network, and of the gradient of all its
// weights, that run on the host.
func withoutKernel(t *testing.T, n *Network) []string {
	t.Helper()
	all := spanKind{to: len(n.Necks) - 1, backward: true, losses: true}
	for i := range n.Weights {
		all.want = append(all.want, i)
	}
	s, err := n.compileSpan(all)
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
