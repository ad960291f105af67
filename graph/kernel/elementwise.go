package kernel

import "math"

// Elements per chunk of an elementwise kernel: enough that starting a goroutine costs
// less than the work it takes over.
const (
	grainArithmetic     = 1 << 15
	grainTranscendental = 1 << 12
)

// GELU computes y = x·Φ(x), with Φ the normal distribution function: the erf form of
// Hendrycks and Gimpel, https://arxiv.org/abs/1606.08415. x and y have the same length;
// y may be x. As in PyTorch, GELU(-Inf) is NaN.
func GELU[T Float](c *Context, x, y []T) {
	unary(c, opGELU, "GELU", x, y, gelu)
}

func gelu(v float64) float64 { return 0.5 * v * math.Erfc(-v/math.Sqrt2) }

// GELUGrad computes dx = dy·(Φ(x) + x·φ(x)), φ the normal density. dx may be x or dy.
func GELUGrad[T Float](c *Context, x, dy, dx []T) {
	binary(c, opGELUGrad, grainTranscendental, "GELUGrad", x, dy, dx, geluGrad)
}

func geluGrad(v, g float64) float64 {
	return g * (0.5*math.Erfc(-v/math.Sqrt2) + v*math.Exp(-0.5*v*v)/math.Sqrt(2*math.Pi))
}

// Coefficients of the tanh form of GELU.
const (
	geluTanhCubic = 0.044715
	geluTanhScale = 0.797884560802865355879892119868763737 // √(2/π)
)

// GELUTanh computes y = ½x·(1 + tanh(√(2/π)·(x + 0.044715x³))), the approximation of
// GELU from the same paper. y may be x.
func GELUTanh[T Float](c *Context, x, y []T) {
	unary(c, opGELUTanh, "GELUTanh", x, y, geluTanh)
}

func geluTanh(v float64) float64 { return v * sigmoid(2*geluTanhScale*(v+geluTanhCubic*v*v*v)) }

// GELUTanhGrad computes dx = dy·d/dx GELUTanh(x). dx may be x or dy. The derivative at -Inf
// is 0, at +Inf 1.
func GELUTanhGrad[T Float](c *Context, x, dy, dx []T) {
	binary(c, opGELUTanhGrad, grainTranscendental, "GELUTanhGrad", x, dy, dx, geluTanhGrad)
}

func geluTanhGrad(v, g float64) float64 {
	v = max(-32, min(32, v)) // the derivative is 0 or 1 there, and du may yet overflow
	u := 2 * geluTanhScale * (v + geluTanhCubic*v*v*v)
	du := 2 * geluTanhScale * (1 + 3*geluTanhCubic*v*v)
	s := sigmoid(u)
	return g * (s + v*s*sigmoid(-u)*du)
}

// Erf computes y = erf(x). y may be x.
func Erf[T Float](c *Context, x, y []T) { unary(c, opErf, "Erf", x, y, math.Erf) }

// Sigmoid computes y = 1/(1+exp(-x)). y may be x.
func Sigmoid[T Float](c *Context, x, y []T) { unary(c, opSigmoid, "Sigmoid", x, y, sigmoid) }

// Tanh computes y = tanh(x). y may be x.
func Tanh[T Float](c *Context, x, y []T) { unary(c, opTanh, "Tanh", x, y, math.Tanh) }

// Exp computes y = exp(x). y may be x.
func Exp[T Float](c *Context, x, y []T) { unary(c, opExp, "Exp", x, y, math.Exp) }

func sigmoid(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

func unary[T Float](c *Context, op int, name string, x, y []T, f func(float64) float64) {
	need(name, "y", len(y), len(x))
	Run(c, len(x), grainTranscendental, unaryTask[T]{op, x, y, f})
}

type unaryTask[T Float] struct {
	op   int
	x, y []T
	f    func(float64) float64
}

func (t *unaryTask[T]) Chunk(c *Context, lo, hi int) {
	if x := as32(t.x); c.vector != nil && x != nil {
		c.vector.unary[t.op](hi-lo, &x[lo], &as32(t.y)[lo])
		return
	}
	for i := lo; i < hi; i++ {
		t.y[i] = T(t.f(float64(t.x[i])))
	}
}

func binary[T Float](c *Context, op, grain int, name string, a, b, y []T, f func(a, b float64) float64) {
	need(name, "the second operand", len(b), len(a))
	need(name, "the result", len(y), len(a))
	Run(c, len(a), grain, binaryTask[T]{op, a, b, y, f})
}

type binaryTask[T Float] struct {
	op      int
	a, b, y []T
	f       func(a, b float64) float64
}

func (t *binaryTask[T]) Chunk(c *Context, lo, hi int) {
	if a := as32(t.a); c.vector != nil && a != nil {
		c.vector.binary[t.op](hi-lo, &a[lo], &as32(t.b)[lo], &as32(t.y)[lo])
		return
	}
	for i := lo; i < hi; i++ {
		t.y[i] = T(t.f(float64(t.a[i]), float64(t.b[i])))
	}
}

// Add computes y = a + b, all of the same length. y may be a or b.
func Add[T Float](c *Context, a, b, y []T) {
	binary(c, opAdd, grainArithmetic, "Add", a, b, y, sum)
}

func sum(a, b float64) float64 { return a + b }

// Mul computes y = a·b elementwise, all of the same length. y may be a or b.
func Mul[T Float](c *Context, a, b, y []T) {
	binary(c, opMul, grainArithmetic, "Mul", a, b, y, times)
}

func times(a, b float64) float64 { return a * b }

// Axpy computes y = y + alpha·x, x and y of the same length.
func Axpy[T Float](c *Context, alpha T, x, y []T) {
	need("Axpy", "y", len(y), len(x))
	Run(c, len(x), grainArithmetic, axpyTask[T]{alpha, x, y})
}

type axpyTask[T Float] struct {
	alpha T
	x, y  []T
}

func (t *axpyTask[T]) Chunk(c *Context, lo, hi int) {
	if x := as32(t.x); c.vector != nil && x != nil {
		c.vector.axpy(hi-lo, float32(t.alpha), &x[lo], &as32(t.y)[lo])
		return
	}
	axpyPlain(t.alpha, t.x[lo:hi], t.y[lo:hi])
}

func axpyPlain[T Float](alpha T, x, y []T) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += alpha * v
	}
}

// AddRow computes y[r,:] = x[r,:] + row: x and y are [rows,d], row is [d]. y may be x.
func AddRow[T Float](c *Context, x, row, y []T, rows, d int) {
	checkRows("AddRow", x, row, y, rows, d)
	runRows(c, grainArithmetic, rows, d, addRowTask[T]{x, row, y, d})
}

type addRowTask[T Float] struct {
	x, row, y []T
	d         int
}

func (t *addRowTask[T]) Chunk(c *Context, lo, hi int) {
	d := t.d
	if x := as32(t.x); c.vector != nil && x != nil {
		c.vector.addRow(hi-lo, d, &x[lo*d], &as32(t.row)[0], &as32(t.y)[lo*d])
		return
	}
	for r := lo; r < hi; r++ {
		for i, v := range t.row[:d] {
			t.y[r*d+i] = t.x[r*d+i] + v
		}
	}
}

// MulRow computes y[r,:] = x[r,:]·row elementwise: x and y are [rows,d], row is [d]. y
// may be x.
func MulRow[T Float](c *Context, x, row, y []T, rows, d int) {
	checkRows("MulRow", x, row, y, rows, d)
	runRows(c, grainArithmetic, rows, d, mulRowTask[T]{x, row, y, d})
}

type mulRowTask[T Float] struct {
	x, row, y []T
	d         int
}

func (t *mulRowTask[T]) Chunk(c *Context, lo, hi int) {
	d := t.d
	if x := as32(t.x); c.vector != nil && x != nil {
		c.vector.mulRow(hi-lo, d, &x[lo*d], &as32(t.row)[0], &as32(t.y)[lo*d])
		return
	}
	for r := lo; r < hi; r++ {
		for i, v := range t.row[:d] {
			t.y[r*d+i] = t.x[r*d+i] * v
		}
	}
}

func checkRows[T Float](name string, x, row, y []T, rows, d int) {
	need(name, "x", len(x), rows*d)
	need(name, "row", len(row), d)
	need(name, "y", len(y), rows*d)
}

// runRows runs a task of rows, in chunks of about grain elements. It does nothing if there are
// none.
func runRows[T any, P interface {
	*T
	Task
}](c *Context, grain, rows, d int, task T) {
	if d > 0 {
		Run[T, P](c, rows, grain/d, task)
	}
}

// ScaleChannels computes y = x·factor + shift with one factor and one shift a channel: x and y
// are [images,channels,area], factor and shift are [channels]. A nil shift is zero. y may be x.
func ScaleChannels[T Float](c *Context, x, factor, shift, y []T, images, channels, area int) {
	need("ScaleChannels", "x", len(x), images*channels*area)
	need("ScaleChannels", "y", len(y), images*channels*area)
	need("ScaleChannels", "factor", len(factor), channels)
	if shift != nil {
		need("ScaleChannels", "shift", len(shift), channels)
	}
	if area == 0 {
		return
	}
	Run(c, images*channels, Grain(area), channelTask[T]{x, factor, shift, y, channels, area})
}

type channelTask[T Float] struct {
	x, factor, shift, y []T
	channels, area      int
}

func (t *channelTask[T]) Chunk(c *Context, lo, hi int) {
	for i := lo; i < hi; i++ {
		at, f, s := i*t.area, t.factor[i%t.channels], T(0)
		if t.shift != nil {
			s = t.shift[i%t.channels]
		}
		if x := as32(t.x); x != nil && c.piecewise() {
			e := Unbounded()
			c.vector.clamp(t.area, float32(f), float32(s), e.Low, e.High, &x[at], &as32(t.y)[at])
			continue
		}
		x, y := t.x[at:at+t.area], t.y[at:at+t.area]
		for j, v := range x {
			y[j] = v*f + s
		}
	}
}
