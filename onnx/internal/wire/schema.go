package wire

import "google.golang.org/protobuf/encoding/protowire"

// Kind names a message type of ONNX's onnx.proto.
type Kind uint8

// The message types that the index descends into. Leaf is everything else:
// scalars, strings, raw bytes and fields that the schema does not know.
const (
	Leaf Kind = iota
	Model
	Graph
	Node
	Attribute
	Tensor
	SparseTensor
	ValueInfo
	Type
	TensorType
	Shape
	Dimension
	Opset
	Entry // StringStringEntryProto: metadata and external data
	Function
	kinds
)

var kindNames = [kinds]string{
	"field", "ModelProto", "GraphProto", "NodeProto", "AttributeProto", "TensorProto",
	"SparseTensorProto", "ValueInfoProto", "TypeProto", "TypeProto.Tensor", "TensorShapeProto",
	"TensorShapeProto.Dimension", "OperatorSetIdProto", "StringStringEntryProto", "FunctionProto",
}

func (k Kind) String() string { return kindNames[k] }

// form says how a field may be encoded.
type form uint8

const (
	unknown form = iota // any wire type; kept verbatim
	varint
	fixed32
	bytes   // strings and byte strings
	message // a message of the kind in field.child
	varints // repeated scalar: one varint per element, or packed
	fixed32s
	fixed64s
)

type field struct {
	form  form
	child Kind
}

// maxField bounds the field numbers of the schema.
const maxField = 32

// schema is onnx.proto (IR version 11) as far as the program reads it.
// Numbers that are absent, the ones of later IR versions among them, are legal
// and kept verbatim.
var schema = [kinds][maxField]field{
	Model: {
		1: {form: varint}, 2: {form: bytes}, 3: {form: bytes}, 4: {form: bytes}, 5: {form: varint}, 6: {form: bytes},
		7: {message, Graph}, 8: {message, Opset}, 14: {message, Entry}, 25: {message, Function},
	},
	Graph: {
		1: {message, Node}, 2: {form: bytes}, 5: {message, Tensor}, 10: {form: bytes},
		11: {message, ValueInfo}, 12: {message, ValueInfo}, 13: {message, ValueInfo},
		15: {message, SparseTensor}, 16: {message, Entry},
	},
	Node: {
		1: {form: bytes}, 2: {form: bytes}, 3: {form: bytes}, 4: {form: bytes}, 5: {message, Attribute},
		6: {form: bytes}, 7: {form: bytes}, 8: {form: bytes}, 9: {message, Entry},
	},
	Attribute: {
		1: {form: bytes}, 2: {form: fixed32}, 3: {form: varint}, 4: {form: bytes}, 5: {message, Tensor}, 6: {message, Graph},
		7: {form: fixed32s}, 8: {form: varints}, 9: {form: bytes}, 10: {message, Tensor}, 11: {message, Graph},
		13: {form: bytes}, 14: {message, Type}, 15: {message, Type}, 20: {form: varint}, 21: {form: bytes},
		22: {message, SparseTensor}, 23: {message, SparseTensor},
	},
	Tensor: {
		1: {form: varints}, 2: {form: varint}, 3: {form: bytes}, 4: {form: fixed32s}, 5: {form: varints}, 6: {form: bytes},
		7: {form: varints}, 8: {form: bytes}, 9: {form: bytes}, 10: {form: fixed64s}, 11: {form: varints}, 12: {form: bytes},
		13: {message, Entry}, 14: {form: varint}, 16: {message, Entry},
	},
	SparseTensor: {1: {message, Tensor}, 2: {message, Tensor}, 3: {form: varints}},
	ValueInfo:    {1: {form: bytes}, 2: {message, Type}, 3: {form: bytes}, 4: {message, Entry}},
	Type:         {1: {message, TensorType}, 6: {form: bytes}},
	TensorType:   {1: {form: varint}, 2: {message, Shape}},
	Shape:        {1: {message, Dimension}},
	Dimension:    {1: {form: varint}, 2: {form: bytes}, 3: {form: bytes}},
	Opset:        {1: {form: bytes}, 2: {form: varint}},
	Entry:        {1: {form: bytes}, 2: {form: bytes}},
	Function: {
		1: {form: bytes}, 4: {form: bytes}, 5: {form: bytes}, 6: {form: bytes}, 7: {message, Node}, 8: {form: bytes},
		9: {message, Opset}, 10: {form: bytes}, 11: {message, Attribute}, 12: {message, ValueInfo}, 13: {form: bytes}, 14: {message, Entry},
	},
}

func lookup(k Kind, n protowire.Number) field {
	if n < maxField {
		return schema[k][n]
	}
	return field{}
}

// allows reports whether a field of form f may have wire type t.
func (f form) allows(t protowire.Type) bool {
	switch f {
	case varint:
		return t == protowire.VarintType
	case fixed32:
		return t == protowire.Fixed32Type
	case bytes, message:
		return t == protowire.BytesType
	case varints:
		return t == protowire.VarintType || t == protowire.BytesType
	case fixed32s:
		return t == protowire.Fixed32Type || t == protowire.BytesType
	case fixed64s:
		return t == protowire.Fixed64Type || t == protowire.BytesType
	}
	return true
}

// repeated reports whether adjacent unpacked elements form one record.
func (f form) repeated() bool { return f >= varints }
