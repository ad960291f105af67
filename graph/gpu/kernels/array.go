//go:build gpu && linux && cgo

package kernels

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Array is an array that kernels read or write: of float32 or, with two bytes each,
// of bfloat16. They compute in float32 (sums in float64 where they say so) and
// round what they write to nearest, ties to even.
type Array struct {
	Data     driver.Ptr
	BFloat16 bool
}

// Float32 is the array of float32 at an address.
func Float32(p driver.Ptr) Array { return Array{Data: p} }

// From is the array from an element on.
func (a Array) From(i int) Array {
	a.Data += driver.Ptr(a.Bytes(i))
	return a
}

// Bytes is the memory of n elements.
func (a Array) Bytes(n int) int64 {
	if a.BFloat16 {
		return int64(halfBytes * n)
	}
	return int64(floatBytes * n)
}

// matrix is the array as a matrix, of which only the strides are given.
func (a Array) matrix(m driver.Matrix) driver.Matrix {
	m.Data, m.BFloat16 = a.Data, a.BFloat16
	return m
}

// formats is a kernel's last argument, which says of each of the arrays that it
// counts as MIXED whether it is of bfloat16.
func formats(arrays ...Array) []driver.Arg {
	bits := 0
	for i, a := range arrays {
		if a.BFloat16 {
			bits |= 1 << i
		}
	}
	return ints(bits)
}

// Convert writes the n elements of x to y, in y's format. y is not x, unless they
// are of the same.
func Convert(q Queue, x, y Array, n int) error { return convert(q, x, y, n, Array{}, Array{}, 0) }

// convert is Convert of two arrays at once.
func convert(q Queue, x, y Array, n int, x2, y2 Array, n2 int) error {
	if _, err := product("convert", mostBytes, max(n, n2)); err != nil || max(n, n2) == 0 {
		return err
	}
	return q.launch("convert", overElements(max(n, n2)), pointers(x.Data, y.Data), longs(n), pointers(x2.Data, y2.Data), longs(n2), formats(x, y, x2, y2))
}
