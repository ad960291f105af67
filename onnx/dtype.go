package onnx

import "fmt"

// DType is an element type: a TensorProto.DataType code of onnx.proto.
type DType int32

// The element types of ONNX (IR version 13).
const (
	Undefined      DType = 0
	Float          DType = 1
	Uint8          DType = 2
	Int8           DType = 3
	Uint16         DType = 4
	Int16          DType = 5
	Int32          DType = 6
	Int64          DType = 7
	String         DType = 8
	Bool           DType = 9
	Float16        DType = 10
	Double         DType = 11
	Uint32         DType = 12
	Uint64         DType = 13
	Complex64      DType = 14
	Complex128     DType = 15
	BFloat16       DType = 16
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24
	Uint2          DType = 25
	Int2           DType = 26
)

// dtypes holds what is to be known of each type: its name in onnx.proto and the
// bits of one element in raw_data, 0 where it cannot be stored there.
var dtypes = [...]struct {
	name string
	bits int
}{
	{"UNDEFINED", 0}, {"FLOAT", 32}, {"UINT8", 8}, {"INT8", 8}, {"UINT16", 16}, {"INT16", 16}, {"INT32", 32},
	{"INT64", 64}, {"STRING", 0}, {"BOOL", 8}, {"FLOAT16", 16}, {"DOUBLE", 64}, {"UINT32", 32}, {"UINT64", 64},
	{"COMPLEX64", 64}, {"COMPLEX128", 128}, {"BFLOAT16", 16}, {"FLOAT8E4M3FN", 8}, {"FLOAT8E4M3FNUZ", 8},
	{"FLOAT8E5M2", 8}, {"FLOAT8E5M2FNUZ", 8}, {"UINT4", 4}, {"INT4", 4}, {"FLOAT4E2M1", 4}, {"FLOAT8E8M0", 8},
	{"UINT2", 2}, {"INT2", 2},
}

// String returns the type's name in onnx.proto, such as "FLOAT16".
func (d DType) String() string {
	if d == Undefined || d.known() {
		return dtypes[d].name
	}
	return fmt.Sprintf("data type %d", int32(d))
}

// Bits returns the size in bits of one element as raw_data holds it: 4 or 2 for
// the packed integers, 0 for strings and unknown types.
func (d DType) Bits() int {
	if d.known() {
		return dtypes[d].bits
	}
	return 0
}

// known reports whether d is one of the types above, Undefined excepted.
func (d DType) known() bool { return d > Undefined && int(d) < len(dtypes) }

// IsFloat reports whether d is one of the types whose tensors can be trained:
// FLOAT, FLOAT16, BFLOAT16, DOUBLE.
func (d DType) IsFloat() bool {
	return d == Float || d == Float16 || d == BFloat16 || d == Double
}

// IsInteger reports whether d is an integer type or BOOL: the types that
// [Tensor.Int64s] reads.
func (d DType) IsInteger() bool {
	switch d {
	case Uint8, Int8, Uint16, Int16, Int32, Int64, Bool, Uint32, Uint64, Uint4, Int4, Uint2, Int2:
		return true
	}
	return false
}

// signed reports whether an integer type is two's complement.
func (d DType) signed() bool {
	switch d {
	case Int8, Int16, Int32, Int64, Int4, Int2:
		return true
	}
	return false
}

// rawBytes returns the length of raw_data for n elements.
func (d DType) rawBytes(n int) int { return (n*d.Bits() + 7) / 8 }
