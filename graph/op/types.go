package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Type is the element type and the shape of a value. The shape is always
// static: the batch size is bound before a program is built.
type Type struct {
	DType onnx.DType
	Shape []int
}

// Elements is the product of the dimensions; 1 for rank 0.
func (t Type) Elements() int { return shapes.Elements(t.Shape) }

// Rank is the number of dimensions.
func (t Type) Rank() int { return len(t.Shape) }

// With returns the same element type with another shape.
func (t Type) With(shape ...int) Type { return Type{t.DType, shape} }

// Equal reports whether both element type and shape agree.
func (t Type) Equal(u Type) bool { return t.DType == u.DType && slices.Equal(t.Shape, u.Shape) }

// String writes the type as FLOAT[2 3].
func (t Type) String() string { return fmt.Sprintf("%v%v", t.DType, t.Shape) }

// sized returns t, or an error where its shape is absurd.
func sized(t Type) (Type, error) {
	if err := shapes.Check(t.Shape); err != nil {
		return Type{}, err
	}
	return t, nil
}

// single checks that there is exactly one input and returns its type.
func single(in []Type) (Type, error) {
	if len(in) != 1 {
		return Type{}, fmt.Errorf("expected 1 input, found %d", len(in))
	}
	return in[0], nil
}

// sameType checks that there are n inputs of one element type, of the classes
// given, and returns it.
func sameType(in []Type, n int, classes ...Class) (Type, error) {
	if len(in) != n {
		return Type{}, fmt.Errorf("expected %d inputs, found %d", n, len(in))
	}
	t := in[0]
	for _, u := range in {
		if u.DType != t.DType {
			return Type{}, fmt.Errorf("expected inputs of one element type, found %v and %v", t, u)
		}
	}
	if !slices.Contains(classes, ClassOf(t.DType)) {
		return Type{}, fmt.Errorf("not defined for elements of type %v", t.DType)
	}
	return t, nil
}

// Element is a Go type that holds the elements of an array. Several ONNX types
// share one: FLOAT, FLOAT16 and BFLOAT16 are computed in float32 (the two
// halves are exact in it), every integer type in int64 (narrow types wrap
// after each operation, see [Wrap]).
type Element interface {
	float32 | float64 | int64 | bool
}

// Number is an Element with arithmetic.
type Number interface {
	float32 | float64 | int64
}

// Class says which Go type holds the elements of an ONNX type.
type Class uint8

// The four classes of element types. ClassNone marks types without support
// (strings, complex numbers, 4- and 8-bit floats).
const (
	ClassNone Class = iota
	ClassFloat32
	ClassFloat64
	ClassInt
	ClassBool
)

// ClassOf maps an ONNX element type to the Go type that holds it.
func ClassOf(t onnx.DType) Class {
	switch t {
	case onnx.Float, onnx.Float16, onnx.BFloat16:
		return ClassFloat32
	case onnx.Double:
		return ClassFloat64
	case onnx.Int4, onnx.Uint4, onnx.Int8, onnx.Int16, onnx.Int32, onnx.Int64, onnx.Uint8, onnx.Uint16, onnx.Uint32, onnx.Uint64:
		return ClassInt
	case onnx.Bool:
		return ClassBool
	}
	return ClassNone
}

// ElementBytes is the size of one element in memory; 0 for types without
// support.
func ElementBytes(t onnx.DType) int {
	switch ClassOf(t) {
	case ClassFloat32:
		return 4
	case ClassFloat64, ClassInt:
		return 8
	case ClassBool:
		return 1
	}
	return 0
}

// Array is a dense row-major tensor. Data is []float32, []float64, []int64 or
// []bool, as [ClassOf] says for the element type; its length is the product of
// the shape. Whoever made the array owns Data.
type Array struct {
	Type
	Data any
}

// NewArray allocates a zeroed array.
func NewArray(t Type) Array {
	n := t.Elements()
	switch ClassOf(t.DType) {
	case ClassFloat32:
		return Array{t, make([]float32, n)}
	case ClassFloat64:
		return Array{t, make([]float64, n)}
	case ClassInt:
		return Array{t, make([]int64, n)}
	case ClassBool:
		return Array{t, make([]bool, n)}
	}
	panic(fmt.Sprintf("op: no array of %v", t))
}

// Floats returns a FLOAT array over data, which it keeps.
func Floats(data []float32, shape ...int) Array {
	return Array{Type{onnx.Float, shape}, data}
}

// Ints returns an INT64 array over data, which it keeps.
func Ints(data []int64, shape ...int) Array {
	return Array{Type{onnx.Int64, shape}, data}
}

// Elem returns the array's elements as their Go type; it panics if that is not
// T.
func Elem[T Element](a Array) []T { return a.Data.([]T) }

// Set gives element i the value x, converted to the Go type of the elements.
func (a Array) Set(i int, x float64) {
	switch d := a.Data.(type) {
	case []float32:
		d[i] = float32(x)
	case []float64:
		d[i] = x
	case []int64:
		d[i] = int64(x)
	case []bool:
		d[i] = x != 0
	}
}

// AsInts widens an integer or boolean array; ok is false for floats.
func (a Array) AsInts() (v []int64, ok bool) {
	switch d := a.Data.(type) {
	case []int64:
		return d, true
	case []bool:
		v = make([]int64, len(d))
		for i, b := range d {
			if b {
				v[i] = 1
			}
		}
		return v, true
	}
	return nil, false
}

// AsFloats converts any numeric array to float64.
func (a Array) AsFloats() []float64 {
	switch d := a.Data.(type) {
	case []float64:
		return d
	case []float32:
		v := make([]float64, len(d))
		for i, x := range d {
			v[i] = float64(x)
		}
		return v
	case []int64:
		v := make([]float64, len(d))
		for i, x := range d {
			v[i] = float64(x)
		}
		return v
	case []bool:
		v := make([]float64, len(d))
		for i, x := range d {
			if x {
				v[i] = 1
			}
		}
		return v
	}
	panic(fmt.Sprintf("op: array of %v holds %T", a.Type, a.Data))
}

// View returns the same elements under another shape of equal size.
func (a Array) View(shape []int) Array {
	if shapes.Elements(shape) != a.Elements() {
		panic(fmt.Sprintf("op: view of %v as %v", a.Type, shape))
	}
	return Array{Type{a.DType, shape}, a.Data}
}

// Wrap reduces every element of v to the range of the integer type t, as its
// own arithmetic would have left it.
func Wrap(t onnx.DType, v []int64) {
	switch t {
	case onnx.Int4:
		for i, x := range v {
			v[i] = x << 60 >> 60
		}
	case onnx.Uint4:
		for i, x := range v {
			v[i] = x & 15
		}
	case onnx.Int8:
		wrapAs[int8](v)
	case onnx.Uint8:
		wrapAs[uint8](v)
	case onnx.Int16:
		wrapAs[int16](v)
	case onnx.Uint16:
		wrapAs[uint16](v)
	case onnx.Int32:
		wrapAs[int32](v)
	case onnx.Uint32:
		wrapAs[uint32](v)
	}
}

func wrapAs[N int8 | uint8 | int16 | uint16 | int32 | uint32](v []int64) {
	for i, x := range v {
		v[i] = int64(N(x))
	}
}

// appendTypes appends the types of arrays.
func appendTypes(types []Type, in []Array) []Type {
	for _, a := range in {
		types = append(types, a.Type)
	}
	return types
}

// RoundTo rounds float32 numbers to those of the narrower type t, to nearest even;
// other types are left alone.
func RoundTo(t onnx.DType, x []float32) {
	switch t {
	case onnx.Float16:
		for i, v := range x {
			bits, _ := onnx.NarrowFloat16(v)
			x[i] = onnx.WidenFloat16(bits)
		}
	case onnx.BFloat16:
		for i, v := range x {
			bits, _ := onnx.NarrowBFloat16(v)
			x[i] = onnx.WidenBFloat16(bits)
		}
	}
}
