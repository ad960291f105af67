package onnxtest

import (
	"bytes"
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx"

	"google.golang.org/protobuf/encoding/protowire"
)

// GraphProto collects the parts of a graph.
type GraphProto struct {
	name            string
	nodes           []*NodeRef
	initializers    []*TensorProto
	inputs, outputs [][]byte
	fields          []byte
}

// Input declares an input of the graph. A dimension is an int, or a string for
// a symbolic one ("" leaves it unnamed).
func (g *GraphProto) Input(name string, t onnx.DType, dims ...any) {
	g.inputs = append(g.inputs, valueInfo(name, t, dims))
}

// Output declares an output of the graph, with dimensions as for Input.
func (g *GraphProto) Output(name string, t onnx.DType, dims ...any) {
	g.outputs = append(g.outputs, valueInfo(name, t, dims))
}

// Initializer adds a tensor in the form that it has.
func (g *GraphProto) Initializer(t *TensorProto) { g.initializers = append(g.initializers, t) }

// Float adds a FLOAT initializer as raw_data.
func (g *GraphProto) Float(name string, shape []int, data []float32) {
	g.Initializer(Tensor(name, onnx.Float, shape).Raw(float32Bytes(data)))
}

// Int64 adds an INT64 initializer as raw_data.
func (g *GraphProto) Int64(name string, shape []int, data []int64) {
	g.Initializer(Tensor(name, onnx.Int64, shape).Raw(int64Bytes(data)))
}

// Tensor adds an initializer of any type as raw_data, little-endian.
func (g *GraphProto) Tensor(name string, t onnx.DType, shape []int, raw []byte) {
	g.Initializer(Tensor(name, t, shape).Raw(raw))
}

// External adds an initializer whose data are length bytes at offset in the
// file location. A negative offset or length is left out of the file.
func (g *GraphProto) External(name string, t onnx.DType, shape []int, location string, offset, length int64) {
	g.Initializer(Tensor(name, t, shape).External(location, offset, length))
}

// Constant adds a Constant node that holds t in its attribute value.
func (g *GraphProto) Constant(output string, t *TensorProto) *NodeRef {
	return g.Node("Constant", nil, []string{output}, TensorAttr("value", t))
}

// Node adds a node. "" in inputs and outputs is an absent operand.
func (g *GraphProto) Node(op string, inputs, outputs []string, attrs ...Attr) *NodeRef {
	n := &NodeRef{op: op, inputs: inputs, outputs: outputs, attrs: attrs}
	g.nodes = append(g.nodes, n)
	return n
}

// GraphField adds a field of bytes, such as a message, to the GraphProto.
func (g *GraphProto) GraphField(num int, payload []byte) {
	g.fields = appendBytes(g.fields, protowire.Number(num), payload)
}

// GraphBytes returns the graph alone, for an attribute of a node.
func (g *GraphProto) GraphBytes() []byte {
	var buf bytes.Buffer
	nodes, rest := g.graph()
	buf.Write(nodes)
	for _, t := range g.initializers {
		if err := t.message().writeField(&buf, 5); err != nil {
			panic(err) // a stream of the caller's that fails
		}
	}
	buf.Write(rest)
	return buf.Bytes()
}

// graph returns what stands before and behind the initializers.
func (g *GraphProto) graph() (nodes, rest []byte) {
	for _, n := range g.nodes {
		nodes = appendBytes(nodes, 1, n.encode())
	}
	nodes = appendString(nodes, 2, g.name)
	for _, v := range g.inputs {
		rest = appendBytes(rest, 11, v)
	}
	for _, v := range g.outputs {
		rest = appendBytes(rest, 12, v)
	}
	return nodes, append(rest, g.fields...)
}

func valueInfo(name string, t onnx.DType, dims []any) []byte {
	var shape []byte
	for _, d := range dims {
		var dim []byte
		switch d := d.(type) {
		case int:
			dim = appendVarint(nil, 1, uint64(d))
		case string:
			if d != "" {
				dim = appendString(nil, 2, d)
			}
		default:
			panic(fmt.Sprintf("onnxtest: dimension %v of %q is a %T, expected int or string", d, name, d))
		}
		shape = appendBytes(shape, 1, dim)
	}
	tensor := appendBytes(appendVarint(nil, 1, uint64(t)), 2, shape)
	return appendBytes(appendString(nil, 1, name), 2, appendBytes(nil, 1, tensor))
}
