package onnx

import (
	"fmt"
	"iter"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// AttributeProto.AttributeType.
const (
	typeUndefined = 0
	typeFloat     = 1
	typeInt       = 2
	typeString    = 3
	typeOfTensor  = 4
	typeGraph     = 5
	typeFloats    = 6
	typeInts      = 7
	typeStrings   = 8
	typeTensors   = 9
	typeGraphs    = 10
)

// attributeFields maps an attribute's type to the field that holds its value.
var attributeFields = [...]protowire.Number{
	typeFloat: attributeFloat, typeInt: attributeInt, typeString: attributeString, typeOfTensor: attributeTensor,
	typeGraph: attributeGraph, typeFloats: attributeFloats, typeInts: attributeInts, typeStrings: attributeStrings,
	typeTensors: attributeTensors, typeGraphs: attributeGraphs,
}

// plain reports whether onnx-go decodes attributes of this type.
func plain(attributeType uint64) bool {
	switch attributeType {
	case typeFloat, typeInt, typeString, typeFloats, typeInts, typeStrings:
		return true
	}
	return false
}

// typeOf returns the type of an attribute; files older than IR version 2 do not
// state it.
func typeOf(attr wire.Message) uint64 {
	if t := attr.Uint(attributeType); t != typeUndefined {
		return t
	}
	for t, field := range attributeFields {
		if field != 0 && attr.Has(field) {
			return uint64(t)
		}
	}
	return typeUndefined
}

// protos returns the node's attributes by name. Those that refer to an attribute
// of the function around the node are what the call gives; without that they are
// absent.
func (n *Node) protos() iter.Seq2[string, wire.Message] {
	return func(yield func(string, wire.Message) bool) {
		for attr := range n.message.Each(nodeAttribute) {
			name := string(attr.Bytes(attributeName))
			if ref := attr.Bytes(attributeRef); len(ref) > 0 {
				given, ok := n.given[string(ref)]
				if !ok {
					continue
				}
				attr = given
			}
			if !yield(name, attr) {
				return
			}
		}
	}
}

// checkReferences refuses an attribute that refers to one of a function where
// there is none, or to one of another type.
func (d nodeDecoder) checkReferences(n *Node) error {
	for attr := range n.message.Each(nodeAttribute) {
		ref := string(attr.Bytes(attributeRef))
		if ref == "" {
			continue
		}
		if n.given == nil {
			return d.failAt(n, exportAgain, "attribute %q refers to attribute %q of a function, but the node is in none", attr.Bytes(attributeName), ref)
		}
		given, ok := n.given[ref]
		if want := attr.Uint(attributeType); ok && want != typeUndefined && want != typeOf(given) {
			return d.failAt(n, exportAgain, "attribute %q has type %d, but attribute %q of the call, to which it refers, has type %d", attr.Bytes(attributeName), want, ref, typeOf(given))
		}
	}
	return nil
}

// readAttributes checks the attributes of n and reads those that onnx-go does
// not: tensors and the presence of graphs. The plain ones follow from onnx-go.
func (d nodeDecoder) readAttributes(n *Node) error {
	if err := d.checkReferences(n); err != nil {
		return err
	}
	for name, attr := range n.protos() {
		offset, _ := attr.Range()
		if _, twice := n.attributes[name]; twice || name == "" {
			e := d.fail(offset, fmt.Sprintf("attribute %q is given twice or has no name", name), "")
			e.Node = n.Label()
			return e
		}
		if n.attributes == nil {
			n.attributes = attributes{}
		}
		n.attributes[name] = otherAttribute{}
		switch t := typeOf(attr); {
		case t == typeOfTensor:
			for f := range attr.Each(attributeTensor) {
				fallback := name
				if n.OpType == "Constant" && len(n.Outputs) > 0 {
					fallback = n.Outputs[0]
				}
				tensor, err := d.tensor(f, n, fallback)
				if err != nil {
					return err
				}
				n.attributes[name] = tensor
			}
		case t == typeGraph || t == typeGraphs:
			n.subgraph = true
		case plain(t):
			if err := d.checkPacked(n, name, attr, attributeFields[t]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPacked refuses packed numbers that onnx-go could not decode, with the
// place, which it would not tell.
func (d nodeDecoder) checkPacked(n *Node, name string, attr wire.Message, field protowire.Number) error {
	for f := range attr.Fields() {
		if f.Number() != field {
			continue
		}
		ok := true
		switch field {
		case attributeInts:
			_, ok = f.Run().Count()
		case attributeFloats:
			ok = !f.Packed() || len(f.Bytes())%4 == 0
		}
		if !ok {
			offset, _ := f.Range()
			e := d.fail(offset, fmt.Sprintf("attribute %q is not a sequence of numbers", name), "")
			e.Node = n.Label()
			return e
		}
	}
	return nil
}
