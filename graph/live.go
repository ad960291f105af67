package graph

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/lowering"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// liveNodes returns the nodes that the output depends on, in topological order.
func liveNodes(m *onnx.Model, output string) ([]*onnx.Node, error) {
	producer := producers(m)
	if producer[output] == nil {
		return nil, &Error{Path: m.Path, Msg: fmt.Sprintf("output %q is computed by no node", output)}
	}
	live := map[*onnx.Node]bool{producer[output]: true}
	stack := []*onnx.Node{producer[output]}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, in := range n.Inputs {
			if p := producer[in]; p != nil && !live[p] {
				live[p] = true
				stack = append(stack, p)
			}
		}
	}
	var order []*onnx.Node
	for _, n := range m.Nodes {
		if live[n] {
			order = append(order, n)
		}
	}
	return order, nil
}

// unsupportedNodes lists the live nodes that cannot be run.
func unsupportedNodes(m *onnx.Model, registry *lowering.Registry, live []*onnx.Node) []onnx.Unsupported {
	var list []onnx.Unsupported
	structural := map[string]onnx.Unsupported{}
	for _, u := range m.Unsupported() {
		if u.Node == "" {
			u.Node = "the file"
			list = append(list, u)
			continue
		}
		structural[u.Node] = u
	}
	for _, n := range live {
		if n.Guard != nil {
			continue // perhaps of a branch that is not taken: seen when it is lowered
		}
		if u, ok := structural[n.Label()]; ok {
			list = append(list, u)
			continue
		}
		if _, err := registry.Find(n.Domain, n.OpType, n.Opset); err != nil {
			list = append(list, n.Unsupported(err.Error()))
		}
	}
	return list
}
