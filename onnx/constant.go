package onnx

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// constantForm is an attribute, other than value, from which a Constant node
// takes its value.
type constantForm struct {
	name    string
	field   protowire.Number
	dtype   DType
	layout  layout
	storage Storage
	scalar  bool
}

var constantForms = [...]constantForm{
	{"value_float", attributeFloat, Float, fixed, StorageConstantFloat, true},
	{"value_floats", attributeFloats, Float, fixed, StorageConstantFloats, false},
	{"value_int", attributeInt, Int64, varint, StorageConstantInt, true},
	{"value_ints", attributeInts, Int64, varint, StorageConstantInts, false},
	{"value_string", attributeString, String, texts, StorageConstantString, true},
	{"value_strings", attributeStrings, String, texts, StorageConstantStrings, false},
}

// count returns the number of elements in field f of the attribute.
func (c constantForm) count(f wire.Field) int {
	switch c.layout {
	case fixed:
		return countFixed(f, 4)
	case varint:
		n, _ := f.Run().Count() // readAttributes has checked it
		return n
	}
	return 1
}

// constant returns the value of a Constant node, nil where it has a form that is
// not supported (a sparse tensor).
func (d nodeDecoder) constant(n *Node) (*Tensor, error) {
	if t := n.Tensor("value"); t != nil {
		return t, nil
	}
	for name, attr := range n.protos() {
		for _, form := range constantForms {
			if form.name == name {
				return d.constantFrom(n, attr, form)
			}
		}
	}
	return nil, nil
}

func (d nodeDecoder) constantFrom(n *Node, attr wire.Message, form constantForm) (*Tensor, error) {
	offset, _ := attr.Range()
	t := &Tensor{Name: n.Outputs[0], DType: form.dtype, Shape: []int{}, Storage: form.storage, Node: n, File: d.Path,
		model: d.Model, layout: form.layout, offset: offset}
	for f := range attr.Fields() {
		if f.Number() == form.field {
			t.data = append(t.data, f)
			t.elements += form.count(f)
		}
	}
	switch {
	case !form.scalar:
		t.Shape = []int{t.elements}
	case t.elements != 1:
		return nil, t.fail(fmt.Sprintf("attribute %q has %d values, expected 1", form.name, t.elements), "")
	}
	if len(t.data) == 1 {
		t.Range.Offset, t.Range.Length = t.data[0].Range()
	}
	return t, nil
}
