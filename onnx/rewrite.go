package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// rewrite adds to a splice what gives a tensor new values.
type rewrite struct {
	*Tensor
	splice *wire.Splice
}

// replace stores x in the tensor, in the form that it has. Only external data
// change their form: they become raw_data.
func (t rewrite) replace(x []float32) error {
	data, err := encoder{t.Tensor}.encode(x)
	if err != nil {
		return err
	}
	switch {
	case t.location != "":
		t.takeIn(data)
	case t.layout == raw:
		t.splice.Payload(t.data[0], data)
	case t.layout == fixed:
		width := t.DType.Bits() / 8
		for _, f := range t.data {
			n := width * countFixed(f, width)
			t.splice.Payload(f, overlay(f, data[:n:n], width))
			data = data[n:]
		}
	case t.layout == varint:
		if _, err := readBlock(t.Tensor); err != nil {
			return err // the fields do not hold as many numbers as the shape says
		}
		for _, f := range t.data {
			n, _ := f.Run().Count()
			size := n * max(t.DType.Bits()/8, 1)
			t.replaceVarints(f, data[:size])
			data = data[size:]
		}
	}
	return nil
}

// overlay returns the payload of f with the elements of the given width in data
// in place of its own.
func overlay(f wire.Field, data []byte, width int) []byte {
	stride := f.Run().Stride(width)
	if stride == width {
		return data
	}
	payload := slices.Clone(f.Bytes()) // with the tags between the elements
	for i := 0; i*width < len(data); i++ {
		copy(payload[i*stride:], data[i*width:(i+1)*width])
	}
	return payload
}

// replaceVarints stores the numbers of data, halves or the integers of a
// quantised weight, in f, packed or with tags as it is. Negative integers are
// extended to 64 bits, as protobuf writes an int32; of types below eight bits a
// number is a byte of elements.
func (t rewrite) replaceVarints(f wire.Field, data []byte) {
	width := max(t.DType.Bits()/8, 1)
	extend := t.DType.signed() && t.DType.Bits() >= 8
	var payload []byte
	for i := 0; i < len(data); i += width {
		if i > 0 && !f.Packed() {
			payload = append(payload, f.Header()...)
		}
		var word [8]byte
		copy(word[:], data[i:i+width])
		v := binary.LittleEndian.Uint64(word[:])
		if shift := 64 - 8*width; extend {
			v = uint64(int64(v<<shift) >> shift)
		}
		payload = protowire.AppendVarint(payload, v)
	}
	t.splice.Payload(f, payload)
}

// takeIn makes a tensor whose data are external, or in a field of their type,
// one that has them in raw_data, where the file had the first field that led to
// them.
func (t rewrite) takeIn(data []byte) {
	header := protowire.AppendVarint(protowire.AppendTag(nil, tensorRaw, protowire.BytesType), uint64(len(data)))
	fields := [][]byte{header, data}
	for f := range t.message.Fields() {
		switch num := f.Number(); {
		case num == tensorExternal, slices.Contains(t.data, f):
			t.splice.Fields(f, fields...)
			fields = nil
		case num == tensorLocation, num == tensorRaw: // an empty raw_data that came later would be the one that counts
			t.splice.Fields(f)
		}
	}
}

// dequantize stores x in a quantised weight as floating-point numbers, in
// raw_data, and makes the nodes that dequantised it an Identity each.
// Names, shapes and the order of everything stay.
func (t rewrite) dequantize(x []float32) error {
	mustFit(t.Tensor, x)
	q := t.quantization
	if !q.Apart() {
		return t.fail(fmt.Sprintf("it cannot be stored as %v: %s computes with integers", q.DType, q.Nodes[0].Label()), "store it quantised, without --dequantize")
	}
	data, err := encoder{t.Tensor}.encodeAs(q.DType, x)
	if err != nil {
		return err
	}
	for _, n := range append(slices.Clone(q.Nodes), t.Node) {
		if n != nil && n.inlined {
			return t.fail(fmt.Sprintf("it cannot be stored as %v: %s stands in a function or a branch", q.DType, n.Label()), "store it quantised, without --dequantize")
		}
	}
	t.takeIn(data)
	for f := range t.message.Fields() {
		if f.Number() == tensorDType {
			t.splice.Payload(f, protowire.AppendVarint(nil, uint64(q.DType)))
		}
	}
	for _, n := range q.Nodes {
		becomeIdentity(t.splice, n)
	}
	t.redeclare()
	return nil
}

// becomeIdentity makes a node an Identity of its first input.
func becomeIdentity(s *wire.Splice, n *Node) {
	inputs := 0
	for f := range n.message.Fields() {
		switch f.Number() {
		case nodeOpType:
			s.Payload(f, []byte("Identity"))
		case nodeInput:
			if inputs++; inputs > 1 {
				s.Fields(f)
			}
		case nodeAttribute, nodeDomain:
			s.Fields(f)
		}
	}
}

// redeclare gives the declarations of the tensor, as an input or a value, its
// new type.
func (t rewrite) redeclare() {
	for f := range t.model.graph.Fields() {
		if num := f.Number(); num != graphInput && num != graphValueInfo || string(f.Message().Bytes(valueName)) != t.Name {
			continue
		}
		for of := range f.Message().Each(valueType) {
			for tensor := range of.Each(typeTensor) {
				for f := range tensor.Fields() {
					if f.Number() == elemType {
						t.splice.Payload(f, protowire.AppendVarint(nil, uint64(t.quantization.DType)))
					}
				}
			}
		}
	}
}
