package onnx

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	onnxgo "github.com/owulveryck/onnx-go"
	"google.golang.org/protobuf/encoding/protowire"
)

// Names in the topology model begin with a byte that keeps the file's names
// apart from the ones made up here.
const (
	fromFile    = "="
	absent      = "-"      // the operand ""
	unused      = "-"      // the output "", followed by its place
	indexOfNode = "#index" // the attribute that leads back to the node
)

// topology writes the model that onnx-go decodes: the nodes, with their
// operands and plain attributes, and the names of inputs and outputs.
//
// What onnx-go v0.5.0 cannot take is left out: it converts tensor attributes
// eagerly (and knows 5 of the 23 element types), refuses graphs, drops names
// and domains, allocates every value that has a static shape, takes all empty
// names for one value and makes up an input for a node that has none.
func topology(m *Model) []byte {
	var graph, node []byte
	for i, n := range m.Nodes {
		node = topologyNode(node[:0], i, n)
		graph = appendMessage(graph, graphNode, node)
	}
	for _, v := range m.Inputs {
		graph = appendMessage(graph, graphInput, appendString(nil, valueName, fromFile+v.Name))
	}
	for _, v := range m.Outputs {
		graph = appendMessage(graph, graphOutput, appendString(nil, valueName, fromFile+v.Name))
	}
	return appendMessage(appendVarint(nil, modelIRVersion, uint64(m.IRVersion)), modelGraph, graph)
}

// topologyNode appends a node.
func topologyNode(b []byte, i int, n *Node) []byte {
	for _, value := range n.Inputs {
		if value == "" {
			b = appendString(b, nodeInput, absent)
			continue
		}
		b = appendString(b, nodeInput, fromFile+value)
	}
	if len(n.Inputs) == 0 {
		b = appendString(b, nodeInput, absent)
	}
	for j, value := range n.Outputs {
		if value == "" {
			b = appendString(b, nodeOutput, fmt.Sprintf("%s%d.%d", unused, i, j))
			continue
		}
		b = appendString(b, nodeOutput, fromFile+value)
	}
	b = appendString(b, nodeOpType, n.OpType)
	index := appendString(nil, attributeName, indexOfNode)
	index = appendVarint(index, attributeInt, uint64(i))
	b = appendMessage(b, nodeAttribute, appendVarint(index, attributeType, typeInt))
	for name, attr := range n.protos() {
		if t := typeOf(attr); plain(t) {
			b = appendMessage(b, nodeAttribute, topologyAttribute(name, attr, t))
		}
	}
	return b
}

// topologyAttribute copies type and value, and nothing else.
func topologyAttribute(name string, attr wire.Message, attributeOf uint64) []byte {
	b := appendString(nil, attributeName, fromFile+name)
	for f := range attr.Fields() {
		if f.Number() == attributeFields[attributeOf] {
			b = append(b, f.Verbatim()...)
		}
	}
	return appendVarint(b, attributeType, attributeOf)
}

// readGraph has onnx-go decode the topology, and completes the nodes with what
// it found: operands in order and the values of plain attributes.
func readGraph(m *Model) error {
	b := newBackend(len(m.Nodes))
	if err := onnxgo.NewModel(b).UnmarshalBinary(topology(m)); err != nil {
		offset, _ := m.graph.Range()
		return m.fail(offset, fmt.Sprintf("the graph cannot be decoded: %v", err), notONNXHint)
	}
	for _, op := range b.operations {
		n := m.Nodes[op.index()]
		n.Inputs, n.Outputs = op.operands(len(n.Inputs)), op.results()
		for name, value := range op.attributes {
			if name, ok := cutMark(name); ok {
				n.attributes[name] = value
			}
		}
	}
	return nil
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendMessage(b []byte, num protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), message)
}

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}
