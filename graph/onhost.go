package graph

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// OnHost names the operations of the network, and of the gradients of all its
// weights, that a device leaves to the host, each with the node that needs it
// first: those that has denies a kernel for. The list is sorted by name.
func (n *Network) OnHost(has func(o op.Op, out op.Type, in ...op.Type) bool) ([]string, error) {
	s, err := n.compileSpan(wholeSpan(n), host{})
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
