package onnxtest

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// NodeRef is a node of a model that is being built. Its methods return it, so
// that they can be chained.
type NodeRef struct {
	op, name, domain, overload string
	inputs, outputs            []string
	attrs                      []Attr
	metadata                   [][2]string
}

// Name sets the node's name.
func (n *NodeRef) Name(name string) *NodeRef { n.name = name; return n }

// Domain sets the operator's domain.
func (n *NodeRef) Domain(domain string) *NodeRef { n.domain = domain; return n }

// Overload sets which of several functions of one name is meant.
func (n *NodeRef) Overload(overload string) *NodeRef { n.overload = overload; return n }

// Metadata adds an entry to the node's metadata_props.
func (n *NodeRef) Metadata(key, value string) *NodeRef {
	n.metadata = append(n.metadata, [2]string{key, value})
	return n
}

// Attr adds an attribute.
func (n *NodeRef) Attr(a Attr) *NodeRef { n.attrs = append(n.attrs, a); return n }

func (n *NodeRef) encode() []byte {
	var b []byte
	for _, s := range n.inputs {
		b = appendString(b, 1, s)
	}
	for _, s := range n.outputs {
		b = appendString(b, 2, s)
	}
	if n.name != "" {
		b = appendString(b, 3, n.name)
	}
	b = appendString(b, 4, n.op)
	for _, a := range n.attrs {
		b = appendBytes(b, 5, a.encoded)
	}
	if n.domain != "" {
		b = appendString(b, 7, n.domain)
	}
	if n.overload != "" {
		b = appendString(b, 8, n.overload)
	}
	for _, kv := range n.metadata {
		b = appendBytes(b, 9, entry(kv[0], kv[1]))
	}
	return b
}

// Attr is an attribute of a node.
type Attr struct{ encoded []byte }

func attr(name string, kind uint64, value []byte) Attr {
	return Attr{appendVarint(append(appendString(nil, 1, name), value...), 20, kind)}
}

// Reference returns an attribute of the type of like whose value is that of the
// attribute ref of the function around the node.
func Reference(name, ref string, like Attr) Attr {
	var kind []byte
	for b := like.encoded; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		size := n + protowire.ConsumeFieldValue(num, typ, b[n:])
		if num == 20 {
			kind = b[:size]
		}
		b = b[size:]
	}
	return Attr{append(appendString(appendString(nil, 1, name), 21, ref), kind...)}
}

// Int returns an INT attribute.
func Int(name string, v int64) Attr { return attr(name, 2, appendVarint(nil, 3, uint64(v))) }

// Ints returns an INTS attribute, unpacked as PyTorch writes it.
func Ints(name string, v ...int64) Attr {
	var b []byte
	for _, x := range v {
		b = appendVarint(b, 8, uint64(x))
	}
	return attr(name, 7, b)
}

// IntsPacked returns an INTS attribute in packed form.
func IntsPacked(name string, v ...int64) Attr {
	var packed []byte
	for _, x := range v {
		packed = protowire.AppendVarint(packed, uint64(x))
	}
	return attr(name, 7, appendBytes(nil, 8, packed))
}

// Float returns a FLOAT attribute.
func Float(name string, v float32) Attr { return attr(name, 1, appendFixed32(nil, 2, v)) }

// Floats returns a FLOATS attribute, unpacked as PyTorch writes it.
func Floats(name string, v ...float32) Attr {
	var b []byte
	for _, x := range v {
		b = appendFixed32(b, 7, x)
	}
	return attr(name, 6, b)
}

// FloatsPacked returns a FLOATS attribute in packed form.
func FloatsPacked(name string, v ...float32) Attr {
	return attr(name, 6, appendBytes(nil, 7, float32Bytes(v)))
}

// String returns a STRING attribute.
func String(name, v string) Attr { return attr(name, 3, appendString(nil, 4, v)) }

// Strings returns a STRINGS attribute.
func Strings(name string, v ...string) Attr {
	var b []byte
	for _, s := range v {
		b = appendString(b, 9, s)
	}
	return attr(name, 8, b)
}

// TensorAttr returns a TENSOR attribute.
func TensorAttr(name string, t *TensorProto) Attr {
	return attr(name, 4, appendBytes(nil, 5, t.message().bytes()))
}

// Graph returns a GRAPH attribute, as control flow has it: the encoded
// GraphProto is not looked at.
func Graph(name string, graph []byte) Attr { return attr(name, 5, appendBytes(nil, 6, graph)) }

func appendFixed32(b []byte, num protowire.Number, v float32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(v))
}
