package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A tolerance bounds the error of a result: |got-want| <= rel·|want| + abs.
type tolerance struct{ rel, abs float64 }

// The accuracy of the float32 kernels. The arithmetic ones are exact but for the rounding.
var (
	arithmetic     = tolerance{2 * roundoff, 0x1p-149}
	transcendental = tolerance{1e-6, 1e-37} // to the smallest normal numbers
	// exp(-x²/2) magnifies the rounding of its argument where it is tiny.
	tail       = tolerance{1e-6, 1e-9}
	difference = tolerance{1e-6, 1e-6} // of terms that cancel
	sums       = tolerance{1e-5, 1e-5} // of many terms of order 1
)

func (tol tolerance) ok(got, want float64) bool {
	switch {
	case math.IsNaN(want):
		return math.IsNaN(got)
	case math.IsInf(want, 0):
		return got == want
	}
	return math.Abs(got-want) <= tol.rel*math.Abs(want)+tol.abs
}

// unaryKernels are the functions of one argument, with their definitions.
var unaryKernels = []struct {
	name string
	f32  func(*Context, []float32, []float32)
	f64  func(*Context, []float64, []float64)
	want func(float64) float64
	tol  tolerance
}{
	{"Exp", Exp[float32], Exp[float64], math.Exp, transcendental},
	{"Erf", Erf[float32], Erf[float64], math.Erf, transcendental},
	{"Tanh", Tanh[float32], Tanh[float64], math.Tanh, transcendental},
	{"Sigmoid", Sigmoid[float32], Sigmoid[float64], func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, transcendental},
	{"GELU", GELU[float32], GELU[float64], func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }, tail},
	{"GELUTanh", GELUTanh[float32], GELUTanh[float64], geluTanhDefinition, tail},
}

func geluTanhDefinition(x float64) float64 {
	// ½(1 + tanh u) as 1/(1 + exp(-2u)), which does not cancel.
	return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// arguments returns numbers from all over the range where the functions change, and the
// special ones, in an amount that leaves a partial vector.
func arguments() []float32 {
	inf := float32(math.Inf(1))
	x := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, float32(math.NaN()), math.MaxFloat32, -math.MaxFloat32, 1e-45, -1e-45, 0x1p-126}
	for v := -110.0; v <= 95; v += 0.0537 {
		x = append(x, float32(v))
	}
	for v := -6.0; v <= 6; v += 0.00317 {
		x = append(x, float32(v))
	}
	for v := float32(1e-30); v < 1e30; v *= 3.7 {
		x = append(x, v, -v)
	}
	for len(x)%32 != 7 {
		x = append(x, 1)
	}
	return x
}

func TestUnary(t *testing.T) {
	x := arguments()
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	for _, k := range unaryKernels {
		for _, v := range Variants() {
			c := NewContext(2, WithVariant(v))
			y := make([]float32, len(x))
			k.f32(c, x, y)
			for i, got := range y {
				if want := k.want(wide[i]); !k.tol.ok(float64(got), want) && !k.tol.ok(float64(got), float64(float32(want))) {
					t.Errorf("%v: %s(%v) = %v, want %v", v, k.name, x[i], got, want)
				}
			}
		}
		y := make([]float64, len(x))
		k.f64(NewContext(1), wide, y)
		for i, got := range y {
			if want := k.want(wide[i]); !(tolerance{1e-13, 1e-300}).ok(got, want) {
				t.Errorf("float64: %s(%v) = %v, want %v", k.name, x[i], got, want)
			}
		}
	}
}

// Every element gets the same bits wherever it stands, in place or not, and nothing but the
// n elements is touched.
func TestUnaryLengths(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, k := range unaryKernels {
		for _, v := range Variants() {
			c := NewContext(1, WithVariant(v))
			all := make([]float32, 70)
			fill(rng, all)
			want := make([]float32, len(all))
			k.f32(c, all, want)
			for n := range len(all) {
				y := guarded(t, n)
				copy(y, all)
				k.f32(c, y, y)
				equalBits(t, k.name, y, want[:n])
			}
		}
	}
}

// binaryKernels are the functions of two arguments.
var binaryKernels = []struct {
	name string
	f32  func(c *Context, a, b, y []float32)
	f64  func(c *Context, a, b, y []float64)
	want func(a, b float64) float64
	tol  tolerance
}{
	{"Add", Add[float32], Add[float64], func(a, b float64) float64 { return a + b }, arithmetic},
	{"Mul", Mul[float32], Mul[float64], func(a, b float64) float64 { return a * b }, arithmetic},
	{"GELUGrad", GELUGrad[float32], GELUGrad[float64], func(x, dy float64) float64 {
		return dy * (math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi))
	}, difference},
	{"GELUTanhGrad", GELUTanhGrad[float32], GELUTanhGrad[float64], func(x, dy float64) float64 {
		switch {
		case x < -32:
			return 0
		case x > 32:
			return dy
		}
		const h = 1e-4 // Richardson's extrapolation of central differences
		central := func(h float64) float64 {
			return (geluTanhDefinition(x+h) - geluTanhDefinition(x-h)) / (2 * h)
		}
		return dy * (4*central(h) - central(2*h)) / 3
	}, difference},
}

func TestBinary(t *testing.T) {
	a := arguments()
	b := make([]float32, len(a))
	fill(rand.New(rand.NewPCG(5, 6)), b)
	a64, b64, y64 := make([]float64, len(a)), make([]float64, len(a)), make([]float64, len(a))
	for i := range a {
		a64[i], b64[i] = float64(a[i]), float64(b[i])
	}
	for _, k := range binaryKernels {
		for _, v := range Variants() {
			c := NewContext(2, WithVariant(v))
			y := make([]float32, len(a))
			k.f32(c, a, b, y)
			for i, got := range y {
				if want := k.want(a64[i], b64[i]); !k.tol.ok(float64(got), want) && !k.tol.ok(float64(got), float64(float32(want))) {
					t.Errorf("%v: %s(%v,%v) = %v, want %v", v, k.name, a[i], b[i], got, want)
				}
			}
			for n := range 70 {
				ga, gb, gy := guarded(t, n), guarded(t, n), guarded(t, n)
				copy(ga, a)
				copy(gb, b)
				k.f32(c, ga, gb, gy)
				equalBits(t, k.name, gy, y[:n])
			}
		}
		k.f64(NewContext(1), a64, b64, y64)
		for i, got := range y64 {
			if want := k.want(a64[i], b64[i]); !(tolerance{1e-9, 1e-11}).ok(got, want) {
				t.Errorf("float64: %s(%v,%v) = %v, want %v", k.name, a[i], b[i], got, want)
			}
		}
	}
}

func TestAxpy(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, v := range Variants() {
		c := NewContext(2, WithVariant(v))
		for n := range 70 {
			x, y := guarded(t, n), guarded(t, n)
			fill(rng, x)
			fill(rng, y)
			want := make([]float64, n)
			for i := range x {
				want[i] = float64(y[i]) - 0.37*float64(x[i])
			}
			Axpy(c, -0.37, x, y)
			for i, got := range y {
				if !difference.ok(float64(got), want[i]) {
					t.Fatalf("%v: n=%d: y[%d] = %v, want %v", v, n, i, got, want[i])
				}
			}
		}
	}
}

func TestRowBroadcast(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, v := range Variants() {
		c := NewContext(2, WithVariant(v))
		for _, d := range widths {
			const rows = 3
			x, row, sum, product := guarded(t, rows*d), guarded(t, d), guarded(t, rows*d), guarded(t, rows*d)
			fill(rng, x)
			fill(rng, row)
			AddRow(c, x, row, sum, rows, d)
			MulRow(c, x, row, product, rows, d)
			for i, w := range x {
				if got, want := sum[i], w+row[i%d]; got != want {
					t.Fatalf("%v: d=%d: AddRow[%d] = %v, want %v", v, d, i, got, want)
				}
				if got, want := product[i], w*row[i%d]; got != want {
					t.Fatalf("%v: d=%d: MulRow[%d] = %v, want %v", v, d, i, got, want)
				}
			}
		}
	}
}

// widths are row lengths around those of the vectors and blocks, and those of real models.
var widths = []int{1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 47, 48, 49, 63, 64, 65, 96, 100, 197, 768}

// equalBits fails the test unless got and want hold the same bits; NaNs are all the same.
func equalBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: element %d of %d = %v, want %v", what, i, len(want), got[i], want[i])
		}
	}
}
