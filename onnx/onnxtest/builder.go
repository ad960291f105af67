// Package onnxtest writes ONNX files for tests and for generated fixtures:
// small models in every form that a file may have, malformed ones too, and
// large ones without holding them in memory.
//
//	b := onnxtest.New(20)
//	b.Input("x", onnx.Float, "batch", 4)
//	b.Float("w", []int{4, 3}, weights)
//	b.Node("MatMul", []string{"x", "w"}, []string{"y"})
//	b.Output("y", onnx.Float, "batch", 3)
//	model, err := onnx.Parse(b.Bytes(), "")
//
// Nothing is checked: what is written is what was asked for. Misuse, such as a
// dimension that is neither an int nor a string, panics.
package onnxtest

import (
	"bytes"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// Builder collects the parts of a model. Its parts are written in the order of
// PyTorch's exporter: header, nodes, graph name, initializers, inputs, outputs,
// operator sets, metadata.
type Builder struct {
	ir                int64
	producer, version string
	graphName         string
	opsets            []opset
	metadata          [][2]string
	nodes             []*NodeRef
	initializers      []*TensorProto
	inputs, outputs   [][]byte
	graphFields       []byte
	modelFields       []byte
}

type opset struct {
	domain  string
	version int64
}

func (o opset) encode() []byte {
	return appendVarint(appendString(nil, 1, o.domain), 2, uint64(o.version))
}

// New returns a builder of a model of IR version 10 that imports the given
// version of the standard operators.
func New(opsetVersion int64) *Builder {
	return &Builder{ir: 10, producer: "onnxtest", graphName: "main_graph", opsets: []opset{{"", opsetVersion}}}
}

// IR sets the IR version.
func (b *Builder) IR(version int64) { b.ir = version }

// Producer sets the name and version of the writing program.
func (b *Builder) Producer(name, version string) { b.producer, b.version = name, version }

// Domain imports a further operator set.
func (b *Builder) Domain(domain string, version int64) {
	b.opsets = append(b.opsets, opset{domain, version})
}

// Metadata adds an entry to the model's metadata_props.
func (b *Builder) Metadata(key, value string) {
	b.metadata = append(b.metadata, [2]string{key, value})
}

// Input declares an input of the graph. A dimension is an int, or a string for
// a symbolic one ("" leaves it unnamed).
func (b *Builder) Input(name string, t onnx.DType, dims ...any) {
	b.inputs = append(b.inputs, valueInfo(name, t, dims))
}

// Output declares an output of the graph, with dimensions as for Input.
func (b *Builder) Output(name string, t onnx.DType, dims ...any) {
	b.outputs = append(b.outputs, valueInfo(name, t, dims))
}

// Initializer adds a tensor in the form that it has.
func (b *Builder) Initializer(t *TensorProto) { b.initializers = append(b.initializers, t) }

// Float adds a FLOAT initializer as raw_data.
func (b *Builder) Float(name string, shape []int, data []float32) {
	b.Initializer(Tensor(name, onnx.Float, shape).Raw(float32Bytes(data)))
}

// Int64 adds an INT64 initializer as raw_data.
func (b *Builder) Int64(name string, shape []int, data []int64) {
	b.Initializer(Tensor(name, onnx.Int64, shape).Raw(int64Bytes(data)))
}

// Tensor adds an initializer of any type as raw_data, little-endian.
func (b *Builder) Tensor(name string, t onnx.DType, shape []int, raw []byte) {
	b.Initializer(Tensor(name, t, shape).Raw(raw))
}

// External adds an initializer whose data are length bytes at offset in the
// file location. A negative offset or length is left out of the file.
func (b *Builder) External(name string, t onnx.DType, shape []int, location string, offset, length int64) {
	b.Initializer(Tensor(name, t, shape).External(location, offset, length))
}

// Constant adds a Constant node that holds t in its attribute value.
func (b *Builder) Constant(output string, t *TensorProto) *NodeRef {
	return b.Node("Constant", nil, []string{output}, TensorAttr("value", t))
}

// Node adds a node. "" in inputs and outputs is an absent operand.
func (b *Builder) Node(op string, inputs, outputs []string, attrs ...Attr) *NodeRef {
	n := &NodeRef{op: op, inputs: inputs, outputs: outputs, attrs: attrs}
	b.nodes = append(b.nodes, n)
	return n
}

// GraphField adds a field of bytes, such as a message, to the GraphProto.
func (b *Builder) GraphField(num int, payload []byte) {
	b.graphFields = appendBytes(b.graphFields, protowire.Number(num), payload)
}

// ModelField adds a field of bytes, such as a message, to the ModelProto.
func (b *Builder) ModelField(num int, payload []byte) {
	b.modelFields = appendBytes(b.modelFields, protowire.Number(num), payload)
}

// Function adds a function of the model: the nodes of body, which imports the
// operator sets that body does. attributes are those that have no default;
// defaults, those that have one.
func (b *Builder) Function(domain, name, overload string, inputs, outputs []string, body *Builder, attributes []string, defaults ...Attr) {
	f := appendString(nil, 1, name)
	for _, list := range []struct {
		num   protowire.Number
		names []string
	}{{4, inputs}, {5, outputs}, {6, attributes}} {
		for _, s := range list.names {
			f = appendString(f, list.num, s)
		}
	}
	for _, n := range body.nodes {
		f = appendBytes(f, 7, n.encode())
	}
	for _, o := range body.opsets {
		f = appendBytes(f, 9, o.encode())
	}
	f = appendString(f, 10, domain)
	for _, a := range defaults {
		f = appendBytes(f, 11, a.encoded)
	}
	if overload != "" {
		f = appendString(f, 13, overload)
	}
	b.ModelField(25, f)
}

// GraphBytes returns the graph alone, for an attribute of a node.
func (b *Builder) GraphBytes() []byte {
	var buf bytes.Buffer
	nodes, rest := b.graph()
	buf.Write(nodes)
	for _, t := range b.initializers {
		if err := t.write(&buf, 5); err != nil {
			panic(err) // a stream of the caller's that fails
		}
	}
	buf.Write(rest)
	return buf.Bytes()
}

// Bytes returns the file.
func (b *Builder) Bytes() []byte {
	var buf bytes.Buffer
	if err := b.Write(&buf); err != nil {
		panic(err) // a stream of the caller's that fails
	}
	return buf.Bytes()
}

// graph returns what stands before and behind the initializers.
func (b *Builder) graph() (nodes, rest []byte) {
	for _, n := range b.nodes {
		nodes = appendBytes(nodes, 1, n.encode())
	}
	nodes = appendString(nodes, 2, b.graphName)
	for _, v := range b.inputs {
		rest = appendBytes(rest, 11, v)
	}
	for _, v := range b.outputs {
		rest = appendBytes(rest, 12, v)
	}
	return nodes, append(rest, b.graphFields...)
}

// Write writes the file. Of the initializers' data it holds no copy.
func (b *Builder) Write(w io.Writer) error {
	nodes, rest := b.graph()
	size := len(nodes) + len(rest)
	for _, t := range b.initializers {
		size += protowire.SizeTag(5) + protowire.SizeBytes(t.size())
	}
	head := appendVarint(nil, 1, uint64(b.ir))
	head = appendString(head, 2, b.producer)
	head = appendString(head, 3, b.version)
	head = protowire.AppendVarint(protowire.AppendTag(head, 7, protowire.BytesType), uint64(size))
	if _, err := w.Write(append(head, nodes...)); err != nil {
		return err
	}
	for _, t := range b.initializers {
		if err := t.write(w, 5); err != nil {
			return err
		}
	}
	if _, err := w.Write(rest); err != nil {
		return err
	}
	var tail []byte
	for _, o := range b.opsets {
		tail = appendBytes(tail, 8, o.encode())
	}
	for _, kv := range b.metadata {
		tail = appendBytes(tail, 14, entry(kv[0], kv[1]))
	}
	_, err := w.Write(append(tail, b.modelFields...))
	return err
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

func entry(key, value string) []byte { return appendString(appendString(nil, 1, key), 2, value) }

func appendBytes(b []byte, num protowire.Number, payload []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), payload)
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}
