package onnx

import (
	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// Functions that call each other can ask for any number of nodes. Calls and
	// branches may add so many to the graph's own, and one more for so many bytes
	// of the file; and names of so many bytes.
	maxInlined      = 16 << 10
	bytesPerInlined = 1 << 10
	maxInlinedNames = 8 << 20

	identityOpset = 13 // in which Identity means what it does in all others

	exportPlain = "export the model without functions and control flow"
)

// inliner makes the one list of nodes that the rest of the program sees: the call
// of a function that the model defines is replaced by the nodes of its body, and
// the nodes of both branches of an If stand before it, each with a [Guard].
// Values inside get names that nothing else in the file has.
type inliner struct {
	decoder nodeDecoder
	nodes   []*Node
	added   int             // nodes that are not the graph's own
	parts   int             // fields that were read for them, over again for every call
	names   int             // bytes of the names that were made up
	taken   map[string]bool // names of values; nil until the first is made up
	next    map[string]int  // the number to try for a name that was taken
	// constants are the values made of one AttributeProto or initializer, by its
	// offset: it is one tensor of the file however often its function is called.
	constants map[int64]string
}

// nodesOf appends the nodes in a field of message, read in s.
func (l *inliner) nodesOf(message wire.Message, field protowire.Number, s *scope) error {
	for proto := range message.Each(field) {
		n, err := l.decoder.node(proto, s)
		if err != nil {
			return err
		}
		if n.inlined {
			l.added++
			l.parts += partsOf(proto)
			l.names += len(n.Name)
			if err := l.checkLimits(n); err != nil {
				return err
			}
		}
		switch f := l.decoder.functions[functionKey{n.Domain, n.OpType, n.Overload}]; {
		case f != nil:
			err = l.call(n, f, s)
		case n.OpType == "If" && n.Domain == "":
			if err = l.branches(n, s); err == nil {
				l.append(n)
			}
		case n.inlined && n.isConstant():
			l.constant(n, string(proto.Bytes(nodeOutput)), s)
		default:
			l.append(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkLimits bounds what calls and branches add.
func (l *inliner) checkLimits(n *Node) error {
	nodes := maxInlined + int(l.decoder.Size/bytesPerInlined)
	switch {
	case l.added > nodes:
		return l.decoder.failAt(n, exportPlain, "functions and branches add more than %d nodes to the graph", nodes)
	case l.parts > maxParts:
		return l.decoder.failAt(n, exportPlain, "functions and branches add nodes with more than %d operands, attributes and declarations to the graph", maxParts)
	case l.names > maxInlinedNames:
		return l.decoder.failAt(n, exportPlain, "functions and branches need names of more than %d bytes", maxInlinedNames)
	}
	return nil
}

// bytesPerPart is how many bytes of names, attributes and metadata are as much
// work to read as a field.
const bytesPerPart = 256

// partsOf is how much is read of a NodeProto: its fields, and long ones more than
// once. Of a tensor the data are not read with the node, and a graph is read
// afterwards.
func partsOf(node wire.Message) (parts int) {
	for f := range node.Fields() {
		parts++
		if f.Number() == nodeAttribute {
			attr := f.Message()
			for t := range attr.Each(attributeTensor) {
				for range t.Fields() {
					parts++
				}
			}
			if t := typeOf(attr); t == typeOfTensor || t == typeGraph {
				continue
			}
		}
		parts += len(f.Bytes()) / bytesPerPart
	}
	return parts
}

func (l *inliner) append(n *Node) {
	n.Index = len(l.nodes)
	l.nodes = append(l.nodes, n)
}

// constant appends a Constant node of a function or a branch, whose output is
// called own there, unless the same attribute has been the value of another.
func (l *inliner) constant(n *Node, own string, s *scope) {
	_, isResult := s.results[own]
	result := n.Outputs[0]
	offset := n.Offset
	for _, attr := range n.protos() {
		offset, _ = attr.Range()
	}
	name, known := l.constants[offset]
	if !known {
		if name = result; isResult {
			name = l.free(s.prefix+own, s)
		}
		l.constants[offset] = name
		n.Outputs[0], n.Guard = name, nil
		if t := n.Tensor("value"); t != nil {
			t.Name = name
		}
		l.append(n)
	}
	if isResult {
		l.identity(n, name, result, s)
		return
	}
	s.names[own] = name
}

// identity appends a node that gives a value of s, which stands for n, another
// name.
func (l *inliner) identity(n *Node, from, to string, s *scope) {
	l.append(&Node{Offset: n.Offset, Name: n.Name, OpType: "Identity", Opset: identityOpset,
		Inputs: []string{from}, Outputs: []string{to}, Scopes: n.Scopes, Guard: s.guard, inlined: true, given: s.given})
}
