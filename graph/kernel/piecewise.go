package kernel

import "math"

// piecewise reports whether the Context has the micro-kernels of convolutions and of the functions
// that go with them.
func (c *Context) piecewise() bool { return c.vector != nil && c.vector.clamp != nil }

// Clamp computes y = min(hi, max(lo, a·x + b)), NaN where x is. y may be x.
func Clamp[T Float](c *Context, a, b, lo, hi T, x, y []T) {
	need("Clamp", "y", len(y), len(x))
	Run(c, len(x), grainArithmetic, clampTask[T]{a, b, lo, hi, x, y})
}

type clampTask[T Float] struct {
	a, b, lo, hi T
	x, y         []T
}

func (t *clampTask[T]) Chunk(c *Context, from, to int) {
	if x := as32(t.x); x != nil && c.piecewise() {
		c.vector.clamp(to-from, float32(t.a), float32(t.b), float32(t.lo), float32(t.hi), &x[from], &as32(t.y)[from])
		return
	}
	a, b, lo, hi, y := t.a, t.b, t.lo, t.hi, t.y[from:to]
	for i, v := range t.x[from:to] {
		y[i] = min(hi, max(lo, a*v+b))
	}
}

// Leak computes y = x, but alpha·x where x is negative. y may be x.
func Leak[T Float](c *Context, alpha T, x, y []T) {
	need("Leak", "y", len(y), len(x))
	Run(c, len(x), grainArithmetic, leakTask[T]{alpha, x, y})
}

type leakTask[T Float] struct {
	alpha T
	x, y  []T
}

func (t *leakTask[T]) Chunk(c *Context, from, to int) {
	if x := as32(t.x); x != nil && c.piecewise() {
		c.vector.leak(to-from, float32(t.alpha), &x[from], &as32(t.y)[from])
		return
	}
	alpha, y := t.alpha, t.y[from:to]
	for i, v := range t.x[from:to] {
		if v < 0 {
			v *= alpha
		}
		y[i] = v
	}
}

// Gate computes dx = slope·dy, but 0 where x <= lo or x >= hi: the gradient of a function that is
// straight between two numbers and constant beyond. A bound of NaN is none. dx may be x or dy.
func Gate[T Float](c *Context, slope, lo, hi T, x, dy, dx []T) {
	need("Gate", "dy", len(dy), len(x))
	need("Gate", "dx", len(dx), len(x))
	Run(c, len(x), grainArithmetic, gateTask[T]{slope, lo, hi, x, dy, dx})
}

type gateTask[T Float] struct {
	slope, lo, hi T
	x, dy, dx     []T
}

func (t *gateTask[T]) Chunk(c *Context, from, to int) {
	if x := as32(t.x); x != nil && c.piecewise() {
		c.vector.gate(to-from, float32(t.slope), float32(t.lo), float32(t.hi), &x[from], &as32(t.dy)[from], &as32(t.dx)[from])
		return
	}
	slope, lo, hi, dy, dx := t.slope, t.lo, t.hi, t.dy[from:to], t.dx[from:to]
	for i, v := range t.x[from:to] {
		d := slope * dy[i]
		if v <= lo || v >= hi {
			d = 0
		}
		dx[i] = d
	}
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
