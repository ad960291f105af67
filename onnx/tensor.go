package onnx

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// ByteRange is a piece of a file, in bytes from its start.
type ByteRange struct{ Offset, Length int64 }

// Storage says in which form the file holds a tensor: a field of TensorProto,
// "external" for a file beside the model, or, with "Constant " before it, an
// attribute of a Constant node.
type Storage string

// The forms of storage. A tensor in the attribute value of a Constant node has
// "Constant " before one of the first group.
const (
	StorageRaw             Storage = "raw_data"
	StorageFloats          Storage = "float_data"
	StorageFloatsUnpacked  Storage = "float_data (unpacked)"
	StorageDoubles         Storage = "double_data"
	StorageDoublesUnpacked Storage = "double_data (unpacked)"
	StorageInt32s          Storage = "int32_data"
	StorageInt64s          Storage = "int64_data"
	StorageUint64s         Storage = "uint64_data"
	StorageStrings         Storage = "string_data"
	StorageExternal        Storage = "external"
	StorageNone            Storage = "empty" // no elements, no data

	StorageConstantFloat   Storage = "Constant value_float"
	StorageConstantFloats  Storage = "Constant value_floats"
	StorageConstantInt     Storage = "Constant value_int"
	StorageConstantInts    Storage = "Constant value_ints"
	StorageConstantString  Storage = "Constant value_string"
	StorageConstantStrings Storage = "Constant value_strings"
)

const constantPrefix Storage = "Constant "

// Tensor is a constant of the file: an initializer or the value of a Constant
// node. Its data stay in the file until they are asked for.
type Tensor struct {
	Name    string // of the value; for a Constant node, its output
	DType   DType
	Shape   []int // in the order of the file; empty for a scalar
	Storage Storage
	Node    *Node // the node whose attribute it is, or nil for an initializer
	// Range is where the data lie in File. Between unpacked elements it also
	// holds their tags; it is empty where the data are in more than one piece.
	Range ByteRange
	File  string // the model, or the external data file; "" for a model from memory

	model        *Model
	elements     int
	layout       layout
	message      wire.Message // the TensorProto; zero for an attribute such as value_floats
	data         []wire.Field
	location     string // of external data, as the file has it
	quantization *Quantization
	offset       int64 // of the TensorProto in the model, for messages
}

// layout is how the elements of a tensor lie in its data.
type layout uint8

const (
	none   layout = iota
	raw           // one block, little-endian, DType.Bits each
	fixed         // float_data, double_data: perhaps in several fields
	varint        // int32_data, int64_data, uint64_data
	texts         // one field per element
)

// Elements returns the number of elements, the product of Shape.
func (t *Tensor) Elements() int { return t.elements }

func (t *Tensor) fail(msg, hint string) *FormatError {
	e := t.model.fail(t.offset, msg, hint)
	e.Tensor = t.Name
	if t.Node != nil {
		e.Node = t.Node.Label()
	}
	return e
}

// dataField describes the fields of TensorProto that hold data.
type dataField struct {
	layout           layout
	storage, runForm Storage // runForm where elements are not packed
	width            int     // bytes of a fixed element
}

func dataFieldOf(num protowire.Number) dataField {
	switch num {
	case tensorRaw:
		return dataField{raw, StorageRaw, StorageRaw, 0}
	case tensorFloats:
		return dataField{fixed, StorageFloats, StorageFloatsUnpacked, 4}
	case tensorDoubles:
		return dataField{fixed, StorageDoubles, StorageDoublesUnpacked, 8}
	case tensorInt32s:
		return dataField{varint, StorageInt32s, StorageInt32s, 0}
	case tensorInt64s:
		return dataField{varint, StorageInt64s, StorageInt64s, 0}
	case tensorUint64s:
		return dataField{varint, StorageUint64s, StorageUint64s, 0}
	case tensorStrings:
		return dataField{texts, StorageStrings, StorageStrings, 0}
	}
	return dataField{}
}

// typedField returns the field that onnx.proto gives to elements of type d when
// they are not in raw_data.
func typedField(d DType) protowire.Number {
	switch d {
	case Float, Complex64:
		return tensorFloats
	case Double, Complex128:
		return tensorDoubles
	case Int64:
		return tensorInt64s
	case Uint32, Uint64:
		return tensorUint64s
	case String:
		return tensorStrings
	}
	return tensorInt32s
}

// tensor reads a TensorProto, without its data. fallback is its name where it
// has none of its own.
func (d *decoder) tensor(message wire.Message, node *Node, fallback string) (*Tensor, error) {
	offset, _ := message.Range()
	if err := checkName(d.Model, message.Bytes(tensorName), offset); err != nil {
		return nil, err
	}
	t := &Tensor{Name: string(message.Bytes(tensorName)), Node: node, File: d.Path, model: d.Model, message: message, offset: offset, Shape: []int{}}
	if node != nil || t.Name == "" {
		t.Name = fallback
	}
	t.DType = DType(message.Uint(tensorDType))
	if !t.DType.known() {
		return nil, t.fail(fmt.Sprintf("%v is not an element type that is known here", t.DType), "")
	}
	var number protowire.Number
	for f := range message.Fields() {
		switch num := f.Number(); num {
		case tensorDims:
			n, ok := f.Run().Count()
			if !ok {
				return nil, t.fail("dims are not a sequence of numbers", "")
			}
			if n > maxRank-len(t.Shape) {
				return nil, t.fail(fmt.Sprintf("rank %d, at most %d is accepted", n+len(t.Shape), maxRank), "")
			}
			for v := range f.Run().Uints() {
				if v > math.MaxInt64 || uint64(int(v)) != v {
					return nil, t.fail(fmt.Sprintf("dimension %d has the size %d", len(t.Shape), int64(v)), "")
				}
				t.Shape = append(t.Shape, int(v))
			}
		case tensorSegment:
			return nil, t.fail("the tensor is stored in segments, which no runtime reads", "save the model again with a current version of onnx")
		default:
			if dataFieldOf(num).layout == none {
				continue
			}
			if _, n := f.Range(); n == 0 && num != tensorStrings {
				continue // written by some exporters beside the field in use
			}
			if number != 0 && (num != number || num == tensorRaw) {
				return nil, t.fail(fmt.Sprintf("data in both field %d and field %d of TensorProto, expected one", number, num), "")
			}
			number = num
			if len(t.data) == maxPieces {
				return nil, t.fail(fmt.Sprintf("its data are in more than %d pieces", maxPieces), "")
			}
			t.data = append(t.data, f)
		}
	}
	var ok bool
	if t.elements, ok = product(t.Shape); !ok {
		return nil, t.fail(fmt.Sprintf("shape %v has more elements than can be counted", t.Shape), "")
	}
	if message.Uint(tensorLocation) == 1 {
		if number != 0 {
			return nil, t.fail("data are marked external but also in the model", "")
		}
		return t, external{t}.complete(message)
	}
	return t, completeInline(t, number)
}

// completeInline completes a tensor whose data lie in the model and checks their size.
func completeInline(t *Tensor, number protowire.Number) error {
	if number == 0 {
		t.Storage = StorageNone
		if t.elements > 0 {
			return t.fail(fmt.Sprintf("shape %v needs %d elements, the file holds none", t.Shape, t.elements), "the file may have been saved without its weights: export it again")
		}
	} else {
		if want := typedField(t.DType); number != tensorRaw && number != want {
			return t.fail(fmt.Sprintf("%v data in field %d of TensorProto, expected field %d or raw_data", t.DType, number, want), "")
		}
		d := dataFieldOf(number)
		t.layout, t.Storage = d.layout, d.storage
		if !t.data[0].Packed() {
			t.Storage = d.runForm
		}
		if len(t.data) == 1 {
			t.Range.Offset, t.Range.Length = t.data[0].Range()
		}
		if err := checkLength(t, d.width); err != nil {
			return err
		}
	}
	if t.Node != nil && t.Node.OpType == "Constant" {
		t.Storage = constantPrefix + t.Storage
	}
	return nil
}

// checkLength compares the size of inline data with the shape, as far as that
// is possible without reading them. width is that of one fixed element.
func checkLength(t *Tensor, width int) error {
	want := t.elements
	if t.DType == Complex64 || t.DType == Complex128 {
		want *= 2 // counted in real numbers, except in raw_data
	}
	switch t.layout {
	case raw:
		if t.DType == String {
			return t.fail("strings in raw_data, expected string_data", "")
		}
		if t.Range.Length != int64(t.DType.rawBytes(t.elements)) {
			return t.fail(fmt.Sprintf("%v of shape %v needs %d bytes, raw_data has %d", t.DType, t.Shape, t.DType.rawBytes(t.elements), t.Range.Length), "")
		}
	case fixed:
		have := 0
		for _, f := range t.data {
			if f.Packed() && len(f.Bytes())%width != 0 {
				return t.fail(fmt.Sprintf("%s has %d bytes, expected a multiple of %d", t.Storage, len(f.Bytes()), width), "")
			}
			have += countFixed(f, width)
		}
		if have != want {
			return t.fail(fmt.Sprintf("shape %v needs %d elements, %s has %d", t.Shape, want, t.Storage, have), "")
		}
	case texts:
		if len(t.data) != want {
			return t.fail(fmt.Sprintf("shape %v needs %d elements, %s has %d", t.Shape, want, t.Storage, len(t.data)), "")
		}
	}
	return nil
}

// countFixed returns the number of fixed-width elements in f.
func countFixed(f wire.Field, width int) int {
	stride := f.Run().Stride(width)
	return (len(f.Bytes()) + stride - width) / stride
}

// product returns the number of elements of a shape, or false where it, or the
// bytes it takes, cannot be counted in an int.
func product(shape []int) (int, bool) {
	n := uint64(1)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt/128 {
			// A later zero would make the shape empty, but no exporter writes one.
			return 0, false
		}
		n = lo
	}
	return int(n), true
}
