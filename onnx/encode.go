package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// Rounded returns the values that the tensor gives back once x, in the order of
// the file, has been stored in it: x itself for FLOAT and DOUBLE, which hold
// every float32 exactly, and otherwise a fresh slice in which each value is
// rounded to the nearest of the tensor's type, ties to even, or of a quantised
// weight's grid, whose ends take what lies beyond them. An error, of type
// [*FormatError], names the element that is not finite or beyond the type's
// range. A length other than [Tensor.Elements], or a tensor for which
// [Tensor.HoldsFloats] does not hold, panics.
func (t *Tensor) Rounded(x []float32) ([]float32, error) {
	t.mustFit(x)
	if t.quantization == nil {
		return t.roundedTo(t.DType, x)
	}
	rounded := make([]float32, len(x))
	err := t.roundToGrid(x, func(i int, _ int64, value float32) { rounded[i] = value })
	return rounded, err
}

// roundedTo returns x rounded to a floating-point type.
func (t *Tensor) roundedTo(d DType, x []float32) ([]float32, error) {
	narrow, widen := halves(d)
	if narrow == nil {
		return x, t.checkFinite(x)
	}
	rounded := make([]float32, len(x))
	for i, v := range x {
		bits, overflow := narrow(v)
		if overflow || !finite(v) {
			return nil, t.unstorable(i, v)
		}
		rounded[i] = widen(bits)
	}
	return rounded, nil
}

func (t *Tensor) mustFit(x []float32) {
	if len(x) != t.elements || !t.HoldsFloats() {
		panic(fmt.Sprintf("onnx: %d float32 values for tensor %q, which has %d elements of type %v", len(x), t.Name, t.elements, t.DType))
	}
}

// halves returns the conversions of a 16-bit type, nil for the others.
func halves(d DType) (narrow func(float32) (uint16, bool), widen func(uint16) float32) {
	switch d {
	case Float16:
		return NarrowFloat16, WidenFloat16
	case BFloat16:
		return NarrowBFloat16, WidenBFloat16
	}
	return nil, nil
}

func finite(x float32) bool { return x-x == 0 }

func (t *Tensor) checkFinite(x []float32) error {
	for i, v := range x {
		if !finite(v) {
			return t.unstorable(i, v)
		}
	}
	return nil
}

// unstorable is the error of a new value that the tensor cannot take.
func (t *Tensor) unstorable(i int, v float32) error {
	index := make([]int, len(t.Shape))
	for rest, axis := i, len(t.Shape)-1; axis >= 0; axis-- {
		index[axis] = rest % t.Shape[axis]
		rest /= t.Shape[axis]
	}
	if !finite(v) {
		return t.fail(fmt.Sprintf("the new value of element %d, %v, is %v, expected a finite number", i, index, v), "")
	}
	return t.fail(fmt.Sprintf("the new value of element %d, %v, is %g, beyond the largest number that %v holds", i, index, v, t.ValueType()),
		"limit the change, or store the model's weights as FLOAT")
}

// encode returns x as the tensor's elements, little-endian and side by side. It
// may be a view of x.
func (t *Tensor) encode(x []float32) ([]byte, error) {
	t.mustFit(x)
	if t.quantization != nil {
		return t.encodeQuantized(x)
	}
	return t.encodeAs(t.DType, x)
}

// encodeAs returns x as elements of a floating-point type.
func (t *Tensor) encodeAs(d DType, x []float32) ([]byte, error) {
	if d == Float && littleEndian {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x)), t.checkFinite(x)
	}
	b := make([]byte, 0, d.rawBytes(len(x)))
	narrow, _ := halves(d)
	for i, v := range x {
		switch {
		case !finite(v):
			return nil, t.unstorable(i, v)
		case d == Float:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		case d == Double:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(v)))
		default:
			bits, overflow := narrow(v)
			if overflow {
				return nil, t.unstorable(i, v)
			}
			b = binary.LittleEndian.AppendUint16(b, bits)
		}
	}
	return b, nil
}

// replace adds to s what stores x in the tensor, in the form that it has. Only
// external data change their form: they become raw_data.
func (t *Tensor) replace(s *wire.Splice, x []float32) error {
	data, err := t.encode(x)
	if err != nil {
		return err
	}
	switch {
	case t.location != "":
		t.takeIn(s, data)
	case t.layout == raw:
		s.Payload(t.data[0], data)
	case t.layout == fixed:
		width := t.DType.Bits() / 8
		for _, f := range t.data {
			n := width * countFixed(f, width)
			s.Payload(f, overlay(f, data[:n:n], width))
			data = data[n:]
		}
	case t.layout == varint:
		if _, err := t.read(); err != nil {
			return err // the fields do not hold as many numbers as the shape says
		}
		for _, f := range t.data {
			n, _ := f.Count()
			size := n * max(t.DType.Bits()/8, 1)
			t.replaceVarints(s, f, data[:size])
			data = data[size:]
		}
	}
	return nil
}

// overlay returns the payload of f with the elements of the given width in data
// in place of its own.
func overlay(f wire.Field, data []byte, width int) []byte {
	stride := f.Stride(width)
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
func (t *Tensor) replaceVarints(s *wire.Splice, f wire.Field, data []byte) {
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
	s.Payload(f, payload)
}

// takeIn makes a tensor whose data are external, or in a field of their type,
// one that has them in raw_data, where the file had the first field that led to
// them.
func (t *Tensor) takeIn(s *wire.Splice, data []byte) {
	header := protowire.AppendVarint(protowire.AppendTag(nil, tensorRaw, protowire.BytesType), uint64(len(data)))
	fields := [][]byte{header, data}
	for f := range t.message.Fields() {
		switch num := f.Number(); {
		case num == tensorExternal, slices.Contains(t.data, f):
			s.Fields(f, fields...)
			fields = nil
		case num == tensorLocation, num == tensorRaw: // an empty raw_data that came later would be the one that counts
			s.Fields(f)
		}
	}
}
