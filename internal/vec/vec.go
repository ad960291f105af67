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

// Combine writes base + (c₀x₀ + c₁x₁) + (c₂x₂ + c₃x₃) + … to dst, which may be
// base. Each element is computed in float64 and rounded once.
func Combine(dst, base []float32, c []float64, x [][]float32) {
	if len(x) == 4 {
		combine4(dst, base, [4]float64(c), [4][]float32(x))
		return
	}
	for i, v := range base {
		sum := float64(v)
		for k := 0; k < len(x); k += 2 {
			pair := c[k] * float64(x[k][i])
			if k+1 < len(x) {
				pair += c[k+1] * float64(x[k+1][i])
			}
			sum += pair
		}
		dst[i] = float32(sum)
	}
}

func combine4(dst, base []float32, c [4]float64, x [4][]float32) {
	n := len(dst)
	base, x0, x1, x2, x3 := base[:n], x[0][:n], x[1][:n], x[2][:n], x[3][:n]
	c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
	for i := range dst {
		dst[i] = float32(float64(base[i]) + (c0*float64(x0[i]) + c1*float64(x1[i])) + (c2*float64(x2[i]) + c3*float64(x3[i])))
	}
}

// Scale multiplies x by c. Each product is rounded once.
func Scale(x []float32, c float64) {
	for i, v := range x {
		x[i] = float32(float64(v) * c)
	}
}

// Dot is the inner product.
func Dot(a, b []float32) float64 { return DotFrom(0, a, b) }

// DotFrom adds the inner product to sum, element by element.
func DotFrom(sum float64, a, b []float32) float64 {
	b = b[:len(a)]
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// SquaredDistanceFrom adds ‖a − b‖² to sum, element by element.
func SquaredDistanceFrom(sum float64, a, b []float32) float64 {
	b = b[:len(a)]
	for i, v := range a {
		d := float64(v) - float64(b[i])
		sum += d * d
	}
	return sum
}

// Norm is the Euclidean norm.
func Norm(a []float32) float64 { return math.Sqrt(Dot(a, a)) }

// Nesterov makes one step of SGD with Nesterov momentum and coupled weight decay:
// q = scale·sum + decay·w, b = momentum·b + q, w = w − rate·(q + momentum·b). Each
// element is computed in float64 and rounded once.
func Nesterov(w, b, sum []float32, scale, rate, momentum, decay float64) {
	sum, b = sum[:len(w)], b[:len(w)]
	for i, x := range w {
		q := scale*float64(sum[i]) + decay*float64(x)
		m := momentum*float64(b[i]) + q
		b[i] = float32(m)
		w[i] = float32(float64(x) - rate*(q+momentum*m))
	}
}
