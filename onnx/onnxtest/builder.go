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
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// Builder collects the parts of a model. They are written in the order of
// PyTorch's exporter: header, nodes, graph name, initializers, inputs, outputs,
// operator sets, metadata.
type Builder struct {
	GraphProto
	ir                int64
	producer, version string
	opsets            []opset
	metadata          [][2]string
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
	return &Builder{ir: 10, producer: "onnxtest", GraphProto: GraphProto{name: "main_graph"}, opsets: []opset{{"", opsetVersion}}}
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

// Bytes returns the file.
func (b *Builder) Bytes() []byte {
	var buf bytes.Buffer
	if err := b.Write(&buf); err != nil {
		panic(err) // a stream of the caller's that fails
	}
	return buf.Bytes()
}

// Write writes the file. Of the initializers' data it holds no copy.
func (b *Builder) Write(w io.Writer) error {
	nodes, rest := b.graph()
	size := len(nodes) + len(rest)
	for _, t := range b.initializers {
		size += protowire.SizeTag(5) + protowire.SizeBytes(t.message().size())
	}
	head := appendVarint(nil, 1, uint64(b.ir))
	head = appendString(head, 2, b.producer)
	head = appendString(head, 3, b.version)
	head = protowire.AppendVarint(protowire.AppendTag(head, 7, protowire.BytesType), uint64(size))
	if _, err := w.Write(append(head, nodes...)); err != nil {
		return err
	}
	for _, t := range b.initializers {
		if err := t.message().writeField(w, 5); err != nil {
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
