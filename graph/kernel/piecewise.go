package kernel

import "math"

// piecewise reports whether the Context has the micro-kernels of convolutions and of the functions
// that go with them.
func (c *Context) piecewise() bool { return c.vector != nil && c.vector.clamp != nil }

// Clamp computes y = min(hi, max(lo, a·x + b)), NaN where x is. y may be x.
func Clamp[T Float](c *Context, a, b, lo, hi T, x, y []T) {
	need("Clamp", "y", len(y), len(x))
	x32, y32 := as32(x), as32(y)
	c.Parallel(len(x), grainArithmetic, func(from, to int) {
		if x32 != nil && c.piecewise() {
			c.vector.clamp(to-from, float32(a), float32(b), float32(lo), float32(hi), &x32[from], &y32[from])
			return
		}
		y := y[from:to]
		for i, v := range x[from:to] {
			y[i] = min(hi, max(lo, a*v+b))
		}
	})
}

// Leak computes y = x, but alpha·x where x is negative. y may be x.
func Leak[T Float](c *Context, alpha T, x, y []T) {
	need("Leak", "y", len(y), len(x))
	x32, y32 := as32(x), as32(y)
	c.Parallel(len(x), grainArithmetic, func(from, to int) {
		if x32 != nil && c.piecewise() {
			c.vector.leak(to-from, float32(alpha), &x32[from], &y32[from])
			return
		}
		y := y[from:to]
		for i, v := range x[from:to] {
			if v < 0 {
				v *= alpha
			}
			y[i] = v
		}
	})
}

// Gate computes dx = slope·dy, but 0 where x <= lo or x >= hi: the gradient of a function that is
// straight between two numbers and constant beyond. A bound of NaN is none. dx may be x or dy.
func Gate[T Float](c *Context, slope, lo, hi T, x, dy, dx []T) {
	need("Gate", "dy", len(dy), len(x))
	need("Gate", "dx", len(dx), len(x))
	x32, dy32, dx32 := as32(x), as32(dy), as32(dx)
	c.Parallel(len(x), grainArithmetic, func(from, to int) {
		if x32 != nil && c.piecewise() {
			c.vector.gate(to-from, float32(slope), float32(lo), float32(hi), &x32[from], &dy32[from], &dx32[from])
			return
		}
		dy, dx := dy[from:to], dx[from:to]
		for i, v := range x[from:to] {
			d := slope * dy[i]
			if v <= lo || v >= hi {
				d = 0
			}
			dx[i] = d
		}
	})
}

// Below returns the largest number less than x, NaN for -Inf: x >= v is x > Below(v).
func Below[T Float](v T) T { return -Above(-v) }

// Above returns the smallest number greater than x, NaN for +Inf.
func Above[T Float](v T) T {
	if math.IsInf(float64(v), 1) {
		return T(math.NaN())
	}
	if as32([]T{v}) != nil {
		return T(math.Nextafter32(float32(v), float32(math.Inf(1))))
	}
	return T(math.Nextafter(float64(v), math.Inf(1)))
}

// Sum returns Σ x[i], summed in float64 in 32 interleaved lanes: the same bits for every variant.
func Sum[T Float](x []T) float64 {
	if x32 := as32(x); len(x32) > 0 {
		if best != nil && best.sum != nil {
			return best.sum(len(x32), &x32[0])
		}
	}
	return sumPlain(x)
}

func sumPlain[T Float](x []T) float64 {
	var lane [32]float64
	for ; len(x) >= len(lane); x = x[len(lane):] {
		for i := range lane {
			lane[i] += float64(x[i])
		}
	}
	for i, v := range x {
		lane[i] += float64(v)
	}
	for n := len(lane) / 2; n > 0; n /= 2 {
		for i := range n {
			lane[i] += lane[i+n]
		}
	}
	return lane[0]
}
