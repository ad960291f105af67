package onnx

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// Node is one operation of the graph. Nodes are shared and not to be changed.
type Node struct {
	Index    int    // its place in Model.Nodes
	Offset   int64  // of its NodeProto in the file, bytes
	Name     string // often "", not always unique
	OpType   string
	Domain   string // "" is ai.onnx
	Overload string
	Opset    int64 // version of the domain that the model, or the function around the node, imports; 0 where it does not
	// Inputs and Outputs are the names of values in operand order. "" marks an
	// optional operand that is absent; a value may occur twice.
	Inputs, Outputs []string
	// Scopes is the path of modules that the exporter recorded, outermost
	// first, as in ["", "blocks.2", "blocks.2.mlp", "blocks.2.mlp.fc1",
	// "linear_8"]; nil in files that do not have it.
	Scopes []string
	// Guard says in which branches of an If the node stands, nil where it stands
	// in none. The If itself has as inputs its condition, the results of its first
	// branch and those of its second.
	Guard *Guard

	attributes
	subgraph bool
	message  wire.Message            // zero where a call has been replaced by its results
	inlined  bool                    // it stands in a function or a branch
	given    map[string]wire.Message // the attributes of the call of its function; nil in no function
}

// isConstant reports whether the node is a Constant whose value is used.
func (n *Node) isConstant() bool {
	return n.OpType == "Constant" && n.Domain == "" && n.Outputs[0] != ""
}

// Label names the node in messages: node "NAME" (OpType), or, where it has no
// name, node #17 (OpType, output "x"); without the number for one that is not in
// Model.Nodes.
func (n *Node) Label() string {
	if n.Name != "" {
		return fmt.Sprintf("node %q (%s)", n.Name, n.OpType)
	}
	if n.Index < 0 {
		return fmt.Sprintf("node (%s, output %q)", n.OpType, n.firstOutput())
	}
	return fmt.Sprintf("node #%d (%s, output %q)", n.Index, n.OpType, n.firstOutput())
}

// firstOutput is the first result that is used, "" where there is none.
func (n *Node) firstOutput() string {
	for _, name := range n.Outputs {
		if name != "" {
			return name
		}
	}
	return ""
}

// Subgraph reports whether an attribute is a graph: control flow.
func (n *Node) Subgraph() bool { return n.subgraph }

// Metadata returns the value of an entry of the node's metadata_props, or "".
func (n *Node) Metadata(key string) string { return metadata(n.message, nodeMetadata, key) }
