package op

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// arithmeticKernel is a rowKernel for each class of numbers.
type arithmeticKernel struct {
	f32  rowKernel[float32, float32]
	f64  rowKernel[float64, float64]
	ints rowKernel[int64, int64]
}

// The kernels are made once: each is a few functions, which would be allocated.
var (
	addKernel           = arithmeticKernel{addRows[float32](), addRows[float64](), addRows[int64]()}
	subKernel           = arithmeticKernel{subRows[float32](), subRows[float64](), subRows[int64]()}
	mulKernel           = arithmeticKernel{mulRows[float32](), mulRows[float64](), mulRows[int64]()}
	divKernel           = arithmeticKernel{divRows[float32](), divRows[float64](), rowsOf(divInt)}
	powKernel           = arithmeticKernel{powRows[float32](), powRows[float64](), rowsOf(powInt)}
	powByBaseKernel     = arithmeticKernel{f32: rowsOf(powByBase[float32]), f64: rowsOf(powByBase[float64])}
	powByExponentKernel = arithmeticKernel{f32: rowsOf(powByExponent[float32]), f64: rowsOf(powByExponent[float64])}
	maxKernel           = arithmeticKernel{rowsOf(larger[float32]), rowsOf(larger[float64]), rowsOf(larger[int64])}
	minKernel           = arithmeticKernel{rowsOf(smaller[float32]), rowsOf(smaller[float64]), rowsOf(smaller[int64])}
)

// arithmetic computes a broadcast operation in the class of its result.
func arithmetic(c *kernel.Context, out Array, in []Array, k arithmeticKernel) {
	switch out.Data.(type) {
	case []float32:
		broadcast(c, out, in, k.f32)
	case []float64:
		broadcast(c, out, in, k.f64)
	default:
		broadcastInts(c, out, in, k.ints)
	}
}

func broadcastInts(c *kernel.Context, out Array, in []Array, f rowKernel[int64, int64]) {
	broadcast(c, out, in, f)
	Wrap(out.DType, Elem[int64](out))
}

// commutative computes a broadcast operation that has fast kernels for two
// arrays of one shape and for a row repeated over an array.
func commutative[T kernel.Float](c *kernel.Context, out Array, in []Array,
	same func(c *kernel.Context, a, b, y []T), row func(c *kernel.Context, x, row, y []T, rows, d int), f rowKernel[T, T]) {
	a, b, y := Elem[T](in[0]), Elem[T](in[1]), Elem[T](out)
	l := newLoops(out.Shape, in[0].Shape, in[1].Shape)
	if len(a) == len(y) && len(b) == len(y) {
		same(c, a, b, y)
		return
	}
	if l.size.n == 2 && l.inner(0) == 1 && l.inner(1) == 1 {
		if l.stride[0].at[0] == 0 {
			a, b = b, a
		}
		row(c, a, b, y, l.size.at[0], l.size.at[1])
		return
	}
	broadcast(c, out, in, f)
}

func addRows[T Number]() rowKernel[T, T] {
	right := func(a []T, b T, y []T) {
		for i, v := range a {
			y[i] = v + b
		}
	}
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			for i, v := range a {
				y[i] = v + b[i]
			}
		},
		right: right,
		left:  func(a T, b []T, y []T) { right(b, a, y) },
	}
}

func subRows[T Number]() rowKernel[T, T] {
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			b, y = b[:len(a)], y[:len(a)]
			for i, v := range a {
				y[i] = v - b[i]
			}
		},
		right: func(a []T, b T, y []T) {
			for i, v := range a {
				y[i] = v - b
			}
		},
		left: func(a T, b []T, y []T) {
			for i, v := range b {
				y[i] = a - v
			}
		},
	}
}

func mulRows[T Number]() rowKernel[T, T] {
	right := func(a []T, b T, y []T) {
		y = y[:len(a)]
		for i, v := range a {
			y[i] = v * b
		}
	}
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			b, y = b[:len(a)], y[:len(a)]
			for i, v := range a {
				y[i] = v * b[i]
			}
		},
		right: right,
		left:  func(a T, b []T, y []T) { right(b, a, y) },
	}
}

func divRows[T kernel.Float]() rowKernel[T, T] {
	return rowKernel[T, T]{
		vectors: func(a, b []T, y []T) {
			b, y = b[:len(a)], y[:len(a)]
			for i, v := range a {
				y[i] = v / b[i]
			}
		},
		right: func(a []T, b T, y []T) {
			for i, v := range a {
				y[i] = v / b
			}
		},
		left: func(a T, b []T, y []T) {
			for i, v := range b {
				y[i] = a / v
			}
		},
	}
}

func powRows[T kernel.Float]() rowKernel[T, T] {
	k := rowsOf(func(a, b T) T { return T(math.Pow(float64(a), float64(b))) })
	general := k.right
	k.right = func(a []T, b T, y []T) {
		switch b {
		case 2:
			for i, v := range a {
				y[i] = v * v
			}
		case 0.5:
			for i, v := range a {
				y[i] = T(math.Sqrt(float64(v)))
			}
		default:
			general(a, b, y)
		}
	}
	return k
}

func powByBase[T kernel.Float](a, b T) T {
	switch b {
	case 0:
		return 0
	case 1:
		return 1
	case 2:
		return 2 * a
	}
	return b * T(math.Pow(float64(a), float64(b)-1))
}

func powByExponent[T kernel.Float](a, b T) T {
	if a == 0 {
		return 0
	}
	return T(math.Pow(float64(a), float64(b)) * math.Log(float64(a)))
}

func powInt(a, b int64) int64 {
	if b < 0 {
		switch {
		case a == 1 || a == -1 && b%2 == 0:
			return 1
		case a == -1:
			return -1
		}
		return 0
	}
	r := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			r *= a
		}
		a *= a
	}
	return r
}

func divInt(a, b int64) int64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func larger[T Number](a, b T) T  { return max(a, b) }
func smaller[T Number](a, b T) T { return min(a, b) }
