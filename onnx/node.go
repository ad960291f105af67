package onnx

import (
	"fmt"
	"slices"

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

	attributes map[string]any // see attribute.go
	subgraph   bool
	message    wire.Message            // zero where a call has been replaced by its results
	inlined    bool                    // it stands in a function or a branch
	given      map[string]wire.Message // the attributes of the call of its function; nil in no function
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

// Has reports whether the attribute is present, of whatever type.
func (n *Node) Has(name string) bool {
	_, ok := n.attributes[name]
	return ok
}

// Attributes returns the names of the attributes, sorted.
func (n *Node) Attributes() []string {
	names := make([]string, 0, len(n.attributes))
	for name := range n.attributes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// attribute returns the attribute if it is present and of type T, else def.
func attribute[T any](n *Node, name string, def T) T {
	if v, ok := n.attributes[name].(T); ok {
		return v
	}
	return def
}

// Int returns an INT attribute, def where it is absent or of another type.
func (n *Node) Int(name string, def int64) int64 { return attribute(n, name, def) }

// Ints returns an INTS attribute, nil where it is absent or of another type.
// The slice is shared.
func (n *Node) Ints(name string) []int64 { return attribute[[]int64](n, name, nil) }

// Float returns a FLOAT attribute, def where it is absent or of another type.
func (n *Node) Float(name string, def float32) float32 { return attribute(n, name, def) }

// Floats returns a FLOATS attribute, nil where it is absent or of another type.
// The slice is shared.
func (n *Node) Floats(name string) []float32 { return attribute[[]float32](n, name, nil) }

// Str returns a STRING attribute, def where it is absent or of another type.
func (n *Node) Str(name, def string) string { return attribute(n, name, def) }

// Strings returns a STRINGS attribute, nil where it is absent or of another
// type. The slice is shared.
func (n *Node) Strings(name string) []string { return attribute[[]string](n, name, nil) }

// Tensor returns a TENSOR attribute, nil where it is absent or of another type.
func (n *Node) Tensor(name string) *Tensor { return attribute[*Tensor](n, name, nil) }

// Metadata returns the value of an entry of the node's metadata_props, or "".
func (n *Node) Metadata(key string) string { return metadata(n.message, nodeMetadata, key) }
