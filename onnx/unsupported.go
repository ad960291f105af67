package onnx

import "fmt"

// Unsupported is something in the file that no part of the program can run,
// although the file can be read and listed.
type Unsupported struct {
	Node   string `json:"node"`   // the node's label; "" for the file as a whole
	Op     string `json:"op"`     // operator type
	Domain string `json:"domain"` // "" is ai.onnx
	Opset  int64  `json:"opset"`  // version of the domain that the model imports
	Reason string `json:"reason"`
}

// Unsupported says that the node cannot be run, and why.
func (n *Node) Unsupported(reason string) Unsupported {
	return Unsupported{Node: n.Label(), Op: n.OpType, Domain: n.Domain, Opset: n.Opset, Reason: reason}
}

// Unsupported lists what keeps the file from being run whatever the operators
// that are known: control flow other than If, sparse tensors.
func (m *Model) Unsupported() []Unsupported {
	var list []Unsupported
	if m.SparseInitializers > 0 {
		list = append(list, Unsupported{Reason: fmt.Sprintf("%d initializers are sparse tensors", m.SparseInitializers)})
	}
	for _, n := range m.Nodes {
		reason := ""
		switch {
		case n.subgraph:
			reason = "control flow: one of its attributes is a graph"
		case n.isConstant() && m.constants[n.Outputs[0]] == nil:
			reason = "its value is neither a tensor, a number nor a string"
		default:
			continue
		}
		list = append(list, n.Unsupported(reason))
	}
	return list
}
