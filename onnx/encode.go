package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
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
	mustFit(t, x)
	if t.quantization == nil {
		return encoder{t}.roundedTo(t.DType, x)
	}
	rounded := make([]float32, len(x))
	err := encoder{t}.roundToGrid(x, func(i int, _ int64, value float32) { rounded[i] = value })
	return rounded, err
}

// encoder turns new values into what a tensor stores.
type encoder struct{ *Tensor }

// roundedTo returns x rounded to a floating-point type.
func (t encoder) roundedTo(d DType, x []float32) ([]float32, error) {
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

func mustFit(t *Tensor, x []float32) {
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

func (t encoder) checkFinite(x []float32) error {
	for i, v := range x {
		if !finite(v) {
			return t.unstorable(i, v)
		}
	}
	return nil
}

// unstorable is the error of a new value that the tensor cannot take.
func (t encoder) unstorable(i int, v float32) error {
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
func (t encoder) encode(x []float32) ([]byte, error) {
	mustFit(t.Tensor, x)
	if t.quantization != nil {
		return t.encodeQuantized(x)
	}
	return t.encodeAs(t.DType, x)
}

// encodeAs returns x as elements of a floating-point type.
func (t encoder) encodeAs(d DType, x []float32) ([]byte, error) {
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
