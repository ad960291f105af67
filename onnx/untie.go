package onnx

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// copySuffix begins with what no parameter's name holds, so that the copy gets
// its path from what reads it.
const copySuffix = "::untied"

// Untied returns the model as it is when the given uses of t, of those that
// [Model.Weights] lists, read a copy of t of their own, so that the copy can be
// changed for them alone. The copy is a new initializer with the values and the
// type of t in raw_data, called after t. It is read by the input that
// [Use.Reader] names, of the node of the same Index:
//
//	node, input := uses[0].Reader()
//	own := untied.Tensor(untied.Nodes[node.Index].Inputs[input])
//
// The result lies in memory, as large as the file, and shares with m its Path and
// the folder of its external data; on disk nothing changes. It may outlive m, but
// for [Draft.Verify], which counts the bytes that differ from those of m or, if m
// was untied itself, of the model that it comes from.
// Where a use that is not listed reads t through the same node as one that is,
// the error, of type [*FormatError], names it. Uses of another model, or none,
// panic.
func (m *Model) Untied(t *Tensor, uses []Use) (*Model, error) {
	if m.data == nil {
		return nil, m.fail(0, "the model is closed", "")
	}
	if t.model != m || len(uses) == 0 || !t.HoldsFloats() {
		panic(fmt.Sprintf("onnx: untying %d uses of tensor %q, expected some, and a weight of this model", len(uses), t.Name))
	}
	readers := map[reader]bool{}
	for _, u := range uses {
		node, input := u.Reader()
		if node.Inputs[input] != t.Name || m.Nodes[node.Index] != node {
			panic(fmt.Sprintf("onnx: %s does not read tensor %q of this model at its input %d", node.Label(), t.Name, input))
		}
		if node.given != nil || node.OpType == "If" {
			return nil, t.fail(fmt.Sprintf("%s cannot have a copy of its own: it stands in a function or is a branch's result", node.Label()),
				"treat the uses together")
		}
		readers[reader{node, input}] = true
	}
	for _, other := range usesOf(m).of(t.Name, nil) {
		node, input := other.Reader()
		if readers[reader{node, input}] && !slices.ContainsFunc(uses, other.equal) {
			return nil, t.fail(fmt.Sprintf("%s cannot have a copy of its own: %s reads the tensor through the same %s", uses[0].Node.Label(), other.Node.Label(), node.Label()),
				"treat these uses together")
		}
	}
	data, err := untie(m, t, readers)
	if err != nil {
		return nil, err
	}
	untied := &Model{Path: m.Path, dir: m.dir, data: data, untiedFrom: cmp.Or(m.untiedFrom, m)}
	if err := decode(untied); err != nil {
		return nil, err
	}
	return untied, nil
}

// equal reports whether u and v are the same use.
func (u Use) equal(v Use) bool {
	return u.Node == v.Node && u.Input == v.Input && slices.Equal(u.Chain, v.Chain)
}

// untie returns the file in which the readers read a copy of t.
func untie(m *Model, t *Tensor, readers map[reader]bool) ([]byte, error) {
	name := freeName(m, t.Name+copySuffix)
	proto, err := rawProto(t, name)
	if err != nil {
		return nil, err
	}
	s := m.index.Splice()
	for r := range readers {
		i := 0
		for f := range r.node.message.Fields() {
			if f.Number() != nodeInput {
				continue
			}
			if i == r.input {
				s.Payload(f, []byte(name))
			}
			i++
		}
	}
	var last *wire.Field // of the initializers: the copy comes behind it
	for f := range m.graph.Fields() {
		if f.Number() == graphInitializer {
			last = &f
		}
	}
	field := protowire.AppendBytes(protowire.AppendTag(nil, graphInitializer, protowire.BytesType), proto)
	if last == nil {
		s.Append(m.graph, field)
	} else {
		s.After(*last, field)
	}
	pieces := s.Pieces()
	size := total(pieces)
	if size > wire.MaxSize {
		return nil, t.fail(fmt.Sprintf("with a copy of it the file would have %d bytes, an ONNX file has at most %d", size, wire.MaxSize),
			"save the model with more of its weights in external files")
	}
	data := make([]byte, 0, size)
	for _, b := range pieces {
		data = append(data, b...)
	}
	return data, nil
}

// rawProto returns a TensorProto of the given name with the elements of t in
// raw_data.
func rawProto(t *Tensor, name string) ([]byte, error) {
	elements, err := readBlock(t)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, d := range t.Shape {
		b = protowire.AppendVarint(protowire.AppendTag(b, tensorDims, protowire.VarintType), uint64(d))
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, tensorDType, protowire.VarintType), uint64(t.DType))
	b = appendText(b, tensorName, name)
	return protowire.AppendBytes(protowire.AppendTag(b, tensorRaw, protowire.BytesType), elements.packed(t)), nil
}

// packed returns the elements of t side by side, as raw_data has them.
func (b block) packed(t *Tensor) []byte {
	width := t.DType.Bits() / 8
	if width == 0 || b.stride == width {
		return b.bytes
	}
	packed := make([]byte, 0, width*t.elements)
	for i := range t.elements {
		packed = append(packed, b.bytes[i*b.stride:i*b.stride+width]...)
	}
	return packed
}

// freeName returns name, with a number if anything in the file is called so.
func freeName(m *Model, name string) string {
	taken := map[string]bool{}
	root := m.index.Root()
	for _, holder := range []struct {
		kind    wire.Kind
		numbers []protowire.Number
	}{
		{wire.Node, []protowire.Number{nodeInput, nodeOutput}},
		{wire.Tensor, []protowire.Number{tensorName}},
		{wire.ValueInfo, []protowire.Number{valueName}},
	} {
		for message := range root.All(holder.kind) {
			for f := range message.Fields() {
				if slices.Contains(holder.numbers, f.Number()) {
					taken[string(f.Bytes())] = true
				}
			}
		}
	}
	if taken[name] {
		name, _ = numbered(name, 2, taken)
	}
	return name
}
