package onnx

import (
	"strings"

	onnxgo "github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
)

// backend records what onnx-go's decoder tells it, and computes nothing.
// onnx-go makes one node for each value and, for each operation, an edge from
// every output to every input, weighted with the input's place, in order.
type backend struct {
	values     []*vertex
	operations []operation
}

// vertex is a value of the graph. It carries a name but no data: onnx-go
// converts tensors only for nodes that are DataCarriers.
type vertex struct {
	id     int64
	name   string
	inputs []*vertex // of the operation that makes it, in order
}

// operation is one call of ApplyOperation.
type operation struct {
	outputs    []*vertex
	attributes map[string]any
}

var (
	_ onnxgo.Backend = (*backend)(nil)
	_ onnxgo.Namer   = (*vertex)(nil)
)

func newBackend(operations int) *backend {
	return &backend{operations: make([]operation, 0, operations)}
}

func (v *vertex) ID() int64        { return v.id }
func (v *vertex) SetName(s string) { v.name = s }
func (v *vertex) GetName() string  { return v.name }
func (b *backend) AddNode(n graph.Node) {
	b.values = append(b.values, n.(*vertex))
}

func (b *backend) NewNode() graph.Node { return &vertex{id: int64(len(b.values))} }

// ApplyOperation records an operation, whose edges are known by now.
func (b *backend) ApplyOperation(o onnxgo.Operation, outputs ...graph.Node) error {
	op := operation{attributes: o.Attributes}
	for _, n := range outputs {
		op.outputs = append(op.outputs, n.(*vertex))
	}
	b.operations = append(b.operations, op)
	return nil
}

// NewWeightedEdge returns the edge from an output to one of its inputs.
func (b *backend) NewWeightedEdge(from, to graph.Node, weight float64) graph.WeightedEdge {
	return edge{from.(*vertex), to.(*vertex), weight}
}

// SetWeightedEdge records an input. The edges come in the order of the inputs,
// so that duplicates, which a set of edges would merge, are kept.
func (b *backend) SetWeightedEdge(e graph.WeightedEdge) {
	from := e.From().(*vertex)
	from.inputs = append(from.inputs, e.To().(*vertex))
}

// The rest of graph.DirectedWeightedBuilder is not used by the decoder.

func (b *backend) Node(id int64) graph.Node {
	if id < 0 || id >= int64(len(b.values)) {
		return nil
	}
	return b.values[id]
}
func (b *backend) Nodes() graph.Nodes             { return graph.Empty }
func (b *backend) From(int64) graph.Nodes         { return graph.Empty }
func (b *backend) To(int64) graph.Nodes           { return graph.Empty }
func (b *backend) Edge(u, v int64) graph.Edge     { return nil }
func (b *backend) HasEdgeBetween(u, v int64) bool { return false }
func (b *backend) HasEdgeFromTo(u, v int64) bool  { return false }

type edge struct {
	from, to *vertex
	weight   float64
}

func (e edge) From() graph.Node         { return e.from }
func (e edge) To() graph.Node           { return e.to }
func (e edge) Weight() float64          { return e.weight }
func (e edge) ReversedEdge() graph.Edge { return edge{e.to, e.from, e.weight} }

// index returns the node's place in the topology.
func (o operation) index() int64 {
	i, _ := o.attributes[indexOfNode].(int64)
	return i
}

// operands returns the names of the n inputs, "" where one is absent.
func (o operation) operands(n int) []string {
	names := make([]string, n) // a node without inputs has a made-up one
	for i := range names {
		names[i], _ = cutMark(o.outputs[0].inputs[i].name)
	}
	return names
}

// results returns the names of the outputs, "" where one is not used.
func (o operation) results() []string {
	names := make([]string, len(o.outputs))
	for i, v := range o.outputs {
		names[i], _ = cutMark(v.name)
	}
	return names
}

// cutMark returns the file's own name, or "" and false for one of topology's.
func cutMark(name string) (string, bool) {
	if own, ok := strings.CutPrefix(name, fromFile); ok {
		return own, true
	}
	return "", false
}
