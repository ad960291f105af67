package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The piecewise functions are their definitions at every number, the special ones included, and
// touch nothing but their elements.
func TestPiecewise(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	x := append(arguments(), 2, -2, 0.5, 3, -3)
	dy := make([]float32, len(x))
	fill(rand.New(rand.NewPCG(11, 12)), dy)
	for _, k := range []struct {
		name string
		f    func(c *Context, x, dy, y []float32)
		want func(x, dy float64) float64
	}{
		{"Relu", func(c *Context, x, _, y []float32) { Clamp(c, 1, 0, 0, inf, x, y) }, func(x, _ float64) float64 { return max(x, 0) }},
		{"Clip", func(c *Context, x, _, y []float32) { Clamp(c, 1, 0, -2, 3, x, y) }, func(x, _ float64) float64 { return min(3, max(-2, x)) }},
		{"HardSigmoid", func(c *Context, x, _, y []float32) { Clamp(c, 0.25, 0.5, 0, 1, x, y) }, func(x, _ float64) float64 { return min(1, max(0, 0.25*x+0.5)) }},
		{"Leak", func(c *Context, x, _, y []float32) { Leak(c, 0.125, x, y) }, func(x, _ float64) float64 {
			if x < 0 {
				return 0.125 * x
			}
			return x
		}},
		{"gradient of Relu", func(c *Context, x, dy, dx []float32) { Gate(c, 1, 0, nan, x, dy, dx) }, func(x, dy float64) float64 {
			if x <= 0 {
				return 0
			}
			return dy
		}},
		{"gradient of Clip", func(c *Context, x, dy, dx []float32) { Gate(c, 1, Below[float32](-2), Above[float32](3), x, dy, dx) }, func(x, dy float64) float64 {
			if x < -2 || x > 3 {
				return 0
			}
			return dy
		}},
		{"gradient of HardSigmoid", func(c *Context, x, dy, dx []float32) { Gate(c, 0.25, 0, 1, x, dy, dx) }, func(x, dy float64) float64 {
			if x <= 0 || x >= 1 {
				return 0
			}
			return 0.25 * dy
		}},
	} {
		for _, v := range Variants() {
			c := NewContext(2, WithVariant(v))
			y := make([]float32, len(x))
			k.f(c, x, dy, y)
			for i, got := range y {
				want := k.want(float64(x[i]), float64(dy[i]))
				if !arithmetic.ok(float64(got), want) && !arithmetic.ok(float64(got), float64(float32(want))) {
					t.Errorf("%v: %s(%v, %v) = %v, want %v", v, k.name, x[i], dy[i], got, want)
				}
			}
			for n := range 70 {
				gx, gdy, gy := guarded(t, n), guarded(t, n), guarded(t, n)
				copy(gx, x)
				copy(gdy, dy)
				k.f(c, gx, gdy, gy)
				equalBits(t, k.name, gy, y[:n])
			}
		}
	}
	if !math.IsNaN(float64(Below(-inf))) || !math.IsNaN(Above(math.Inf(1))) || Above[float32](1) != 1+0x1p-23 || Below(1.0) != 1-0x1p-53 {
		t.Error("a neighbouring number is wrong")
	}
}

// The sum has the same bits as its definition, whatever the variant.
func TestSum(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for n := range 200 {
		x := guarded(t, n)
		fill(rng, x)
		want := sumPlain(x)
		if got := Sum(x); got != want {
			t.Fatalf("of %d numbers: %v, want %v", n, got, want)
		}
		for _, v := range Variants() {
			if k, _ := vectorKernelsFor(v); k != nil && k.sum != nil && n > 0 && k.sum(n, &x[0]) != want {
				t.Fatalf("%v: of %d numbers: %v, want %v", v, n, k.sum(n, &x[0]), want)
			}
		}
		exact := 0.0
		for _, v := range x {
			exact += float64(v)
		}
		if math.Abs(want-exact) > 1e-12*float64(n) {
			t.Fatalf("of %d numbers: %v, want %v", n, want, exact)
		}
	}
}
