package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// CheckData reports whether the data are where the file says they are: whether
// they fill the shape and whether an external file exists, lies inside the
// model's folder and is long enough; of a quantised weight, those of its scale
// and zero point too. It reads no data.
func (t *Tensor) CheckData() error {
	if q := t.quantization; q != nil {
		for _, of := range []*Tensor{q.Scale, q.ZeroPoint} {
			if of == nil {
				continue
			}
			if err := of.CheckData(); err != nil {
				return err
			}
		}
	}
	switch t.layout {
	case raw:
		if t.location != "" {
			return external{t}.check()
		}
	case varint:
		// An element takes one to ten bytes. The exact count comes with reading.
		bytes := 0
		for _, f := range t.data {
			bytes += len(f.Bytes())
		}
		if bytes < words(t) {
			return t.fail(fmt.Sprintf("shape %v needs %d numbers, %s has %d bytes", t.Shape, words(t), t.Storage, bytes), "")
		}
	}
	return nil // the rest has been checked when the file was opened
}

// words returns the number of stored numbers: the elements, or, of types below
// eight bits, the bytes that hold them.
func words(t *Tensor) int {
	if b := t.DType.Bits(); b < 8 {
		return t.DType.rawBytes(t.elements)
	}
	return t.elements
}

// Mapped reports whether [Tensor.Float32s] returns a view of the file, not a
// copy: FLOAT elements that lie side by side in one piece.
func (t *Tensor) Mapped() bool {
	if t.DType != Float || !littleEndian {
		return false
	}
	switch t.layout {
	case raw:
		return true
	case fixed:
		return len(t.data) == 1 && t.data[0].Run().Stride(4) == 4
	}
	return false
}

// littleEndian says that the machine's numbers have the byte order of the file.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// unaligned says that the machine reads numbers at any address: raw_data begins
// wherever the fields before it end.
const unaligned = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// block is the data of a tensor as a sequence of fixed-width little-endian
// numbers, stride bytes apart.
type block struct {
	bytes  []byte
	stride int
}

// readBlock returns the data: a view of the file where they lie in one piece,
// otherwise gathered into memory of their own.
func readBlock(t *Tensor) (block, error) {
	if err := t.CheckData(); err != nil {
		return block{}, err
	}
	width := max(t.DType.Bits()/8, 1)
	switch t.layout {
	case raw:
		if t.location != "" {
			data, err := external{t}.bytes()
			return block{data, width}, err
		}
		return block{t.data[0].Bytes(), width}, nil
	case fixed:
		if len(t.data) == 1 {
			return block{t.data[0].Bytes(), t.data[0].Run().Stride(width)}, nil
		}
		all := make([]byte, 0, t.elements*width)
		for _, f := range t.data {
			b, stride := f.Bytes(), f.Run().Stride(width)
			for i := range countFixed(f, width) {
				all = append(all, b[i*stride:i*stride+width]...)
			}
		}
		return block{all, width}, nil
	case varint:
		return readVarints(t, width)
	}
	return block{nil, width}, nil
}

// readVarints gathers int32_data, int64_data or uint64_data into numbers of
// width bytes, and checks that each fits.
func readVarints(t *Tensor, width int) (block, error) {
	all := make([]byte, 0, words(t)*width)
	n := 0
	for _, f := range t.data {
		if _, ok := f.Run().Count(); !ok {
			return block{}, t.fail(fmt.Sprintf("%s is not a sequence of numbers", t.Storage), "")
		}
		for v := range f.Run().Uints() {
			if !t.DType.holds(v) {
				return block{}, t.fail(fmt.Sprintf("element %d of %s is %d, which %v cannot hold", n, t.Storage, int64(v), t.DType), "")
			}
			n++
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], v)
			all = append(all, word[:width]...)
		}
	}
	if n != words(t) {
		return block{}, t.fail(fmt.Sprintf("shape %v needs %d numbers, %s has %d", t.Shape, words(t), t.Storage, n), "")
	}
	return block{all, width}, nil
}

// holds reports whether a number from a varint field, sign-extended to 64 bits
// where it is negative, is a value (or the bit pattern) of type d. The patterns
// of half types count as signed, too: a writer that puts them into int32_data
// through an int16 extends the top bit.
func (d DType) holds(v uint64) bool {
	bits := max(d.Bits(), 8)
	if bits == 64 || v>>bits == 0 {
		return true
	}
	signed := d.signed() || d == Float16 || d == BFloat16
	return signed && int64(v) < 0 && int64(v) >= -1<<(bits-1)
}

// Float32s returns the elements of a FLOAT, FLOAT16, BFLOAT16 or DOUBLE tensor,
// or the values of a quantised weight, in the order of the file. Where
// [Tensor.Mapped] holds it is a view of the file, at any alignment, shared, never
// to be written to and valid until the model is closed; otherwise a fresh slice
// of the caller's own. FLOAT16 and BFLOAT16 widen exactly; a DOUBLE is rounded to
// nearest, beyond the range of float32 to an infinity.
func (t *Tensor) Float32s() ([]float32, error) {
	if t.quantization != nil {
		return dequantized(t)
	}
	if !t.DType.IsFloat() {
		return nil, t.fail(fmt.Sprintf("%v elements, expected a floating-point type", t.DType), "")
	}
	b, err := readBlock(t)
	if err != nil {
		return nil, err
	}
	if t.elements == 0 {
		return []float32{}, nil
	}
	if t.Mapped() {
		p := unsafe.Pointer(unsafe.SliceData(b.bytes))
		if unaligned || uintptr(p)%unsafe.Alignof(float32(0)) == 0 {
			return unsafe.Slice((*float32)(p), t.elements), nil
		}
	}
	x := make([]float32, t.elements)
	switch t.DType {
	case Float:
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b.bytes[i*b.stride:]))
		}
	case Double:
		for i := range x {
			x[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b.bytes[i*b.stride:])))
		}
	case Float16:
		for i := range x {
			x[i] = WidenFloat16(binary.LittleEndian.Uint16(b.bytes[i*b.stride:]))
		}
	case BFloat16:
		for i := range x {
			x[i] = WidenBFloat16(binary.LittleEndian.Uint16(b.bytes[i*b.stride:]))
		}
	}
	return x, nil
}

// Float64s returns the elements of a FLOAT, FLOAT16, BFLOAT16 or DOUBLE tensor,
// exactly, in a fresh slice.
func (t *Tensor) Float64s() ([]float64, error) {
	if t.DType != Double {
		x, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		wide := make([]float64, len(x))
		for i, v := range x {
			wide[i] = float64(v)
		}
		return wide, nil
	}
	b, err := readBlock(t)
	if err != nil {
		return nil, err
	}
	x := make([]float64, t.elements)
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(b.bytes[i*b.stride:]))
	}
	return x, nil
}

// Int64s returns the elements of a tensor of any integer type or BOOL (0 and 1)
// in a fresh slice. UINT64 elements above the largest int64 are an error.
func (t *Tensor) Int64s() ([]int64, error) {
	if !t.DType.IsInteger() {
		return nil, t.fail(fmt.Sprintf("%v elements, expected an integer type", t.DType), "")
	}
	b, err := readBlock(t)
	if err != nil {
		return nil, err
	}
	x := make([]int64, t.elements)
	for i := range x {
		if x[i] = b.integer(t.DType, i); x[i] < 0 && !t.DType.signed() {
			return nil, t.fail(fmt.Sprintf("element %d is %d, more than the largest int64", i, uint64(x[i])), "")
		}
	}
	return x, nil
}

// integer returns element i of a tensor of an integer type or BOOL; of UINT64 the
// bits.
func (b block) integer(d DType, i int) int64 {
	var v uint64
	bits := d.Bits()
	switch bits {
	case 64:
		v = binary.LittleEndian.Uint64(b.bytes[i*8:])
	case 32:
		v = uint64(binary.LittleEndian.Uint32(b.bytes[i*4:]))
	case 16:
		v = uint64(binary.LittleEndian.Uint16(b.bytes[i*2:]))
	case 8:
		v = uint64(b.bytes[i])
	default: // elements below a byte, the first in the lowest bits
		v = uint64(b.bytes[i*bits/8]) >> (i * bits % 8) & (1<<bits - 1)
	}
	switch {
	case d.signed():
		return int64(v<<(64-bits)) >> (64 - bits)
	case d == Bool && v != 0:
		return 1
	}
	return int64(v)
}

// floatsOf returns the function that gives the elements of a tensor for which
// [Tensor.HoldsFloats] holds.
func floatsOf(t *Tensor) (func(i int) float64, error) {
	if t.quantization != nil {
		x, err := dequantized(t)
		return func(i int) float64 { return float64(x[i]) }, err
	}
	b, err := readBlock(t)
	return func(i int) float64 { return b.float(t.DType, i) }, err
}

// float returns element i of a floating-point tensor of type d, exactly.
func (b block) float(d DType, i int) float64 {
	at := b.bytes[i*b.stride:]
	switch d {
	case Float:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(at)))
	case Double:
		return math.Float64frombits(binary.LittleEndian.Uint64(at))
	case Float16:
		return float64(WidenFloat16(binary.LittleEndian.Uint16(at)))
	}
	return float64(WidenBFloat16(binary.LittleEndian.Uint16(at)))
}
