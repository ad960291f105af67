// Package vec computes with vectors of float32. What is summed over elements is
// summed in float64.
package vec

import "math"

// Add adds x to sum, in float32.
func Add(sum, x []float32) {
	for i, v := range x[:len(sum)] {
		sum[i] += v
	}
}

// AddScaled writes base + c·x to dst, which may be base. Each element is computed
// in float64 and rounded once.
func AddScaled(dst, base []float32, c float64, x []float32) {
	dst, x = dst[:len(base)], x[:len(base)]
	for i, v := range base {
		dst[i] = float32(float64(v) + c*float64(x[i]))
	}
}

// Dot is the inner product.
func Dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// Norm is the Euclidean norm.
func Norm(a []float32) float64 { return math.Sqrt(Dot(a, a)) }

// Grow returns s with n elements, reusing its array if it is long enough. The
// elements are of any value.
func Grow(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}
