package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// rowKernels are the kernels on [rows,d] matrices x and dy and on rows scale and bias, each
// compared with itself in float64. The plain float64 code is held to the definitions by
// TestNormDefinition and TestRowGradients.
var rowKernels = []struct {
	name string
	f32  func(c *Context, in rowInput[float32], out []float32)
	f64  func(c *Context, in rowInput[float64], out []float64)
	rows func(in rowInput[float32]) int // of the result
	tol  tolerance
}{
	{"Softmax", softmaxOf[float32], softmaxOf[float64], all, transcendental},
	{"SoftmaxGrad", softmaxGradOf[float32], softmaxGradOf[float64], all, sums},
	{"SoftmaxColumns", softmaxColumnsOf[float32], softmaxColumnsOf[float64], all, transcendental},
	{"SoftmaxColumnsGrad", softmaxColumnsGradOf[float32], softmaxColumnsGradOf[float64], all, sums},
	{"LayerNorm", layerNormOf[float32], layerNormOf[float64], all, difference},
	{"LayerNormUnbiased", layerNormUnbiasedOf[float32], layerNormUnbiasedOf[float64], all, difference},
	{"RMSNorm", rmsNormOf[float32], rmsNormOf[float64], all, difference},
	{"LayerNormGradX", layerNormGradXOf[float32], layerNormGradXOf[float64], all, sums},
	{"RMSNormGradX", rmsNormGradXOf[float32], rmsNormGradXOf[float64], all, sums},
	{"LayerNormGradScale", layerNormGradScaleOf[float32], layerNormGradScaleOf[float64], one, sums},
	{"LayerNormGradBias", layerNormGradBiasOf[float32], layerNormGradBiasOf[float64], one, arithmetic},
	{"RMSNormGradScale", rmsNormGradScaleOf[float32], rmsNormGradScaleOf[float64], one, sums},
	{"SumRows", sumRowsOf[float32], sumRowsOf[float64], one, arithmetic},
}

const testEps = 1e-6

type rowInput[T Float] struct {
	x, dy, scale, bias []T
	rows, d            int
}

func all(in rowInput[float32]) int { return in.rows }
func one(rowInput[float32]) int    { return 1 }

func softmaxOf[T Float](c *Context, in rowInput[T], out []T) { Softmax(c, in.x, out, in.rows, in.d) }
func softmaxGradOf[T Float](c *Context, in rowInput[T], out []T) {
	SoftmaxGrad(c, in.x, in.dy, out, in.rows, in.d)
}
func layerNormOf[T Float](c *Context, in rowInput[T], out []T) {
	LayerNorm(c, in.x, in.scale, in.bias, out, in.rows, in.d, testEps)
}
func layerNormUnbiasedOf[T Float](c *Context, in rowInput[T], out []T) {
	LayerNorm(c, in.x, in.scale, nil, out, in.rows, in.d, testEps)
}
func rmsNormOf[T Float](c *Context, in rowInput[T], out []T) {
	RMSNorm(c, in.x, in.scale, out, in.rows, in.d, testEps)
}
func layerNormGradXOf[T Float](c *Context, in rowInput[T], out []T) {
	LayerNormGrad(c, in.x, in.scale, in.dy, out, nil, nil, in.rows, in.d, testEps)
}
func layerNormGradScaleOf[T Float](c *Context, in rowInput[T], out []T) {
	LayerNormGrad(c, in.x, in.scale, in.dy, nil, out, nil, in.rows, in.d, testEps)
}
func layerNormGradBiasOf[T Float](c *Context, in rowInput[T], out []T) {
	LayerNormGrad(c, in.x, in.scale, in.dy, nil, nil, out, in.rows, in.d, testEps)
}
func rmsNormGradXOf[T Float](c *Context, in rowInput[T], out []T) {
	RMSNormGrad(c, in.x, in.scale, in.dy, out, nil, in.rows, in.d, testEps)
}
func rmsNormGradScaleOf[T Float](c *Context, in rowInput[T], out []T) {
	RMSNormGrad(c, in.x, in.scale, in.dy, nil, out, in.rows, in.d, testEps)
}
func sumRowsOf[T Float](c *Context, in rowInput[T], out []T) { SumRows(c, in.x, out, in.rows, in.d) }

// newRowInput draws operands that end where memory ends.
func newRowInput(t testing.TB, rows, d int) rowInput[float32] {
	rng := rand.New(rand.NewPCG(11, uint64(d)))
	in := rowInput[float32]{guarded(t, rows*d), guarded(t, rows*d), guarded(t, d), guarded(t, d), rows, d}
	for _, s := range [][]float32{in.x, in.dy, in.scale, in.bias} {
		fill(rng, s)
	}
	return in
}

func (in rowInput[T]) wide() rowInput[float64] {
	return rowInput[float64]{widened(in.x), widened(in.dy), widened(in.scale), widened(in.bias), in.rows, in.d}
}

func widened[T Float](x []T) []float64 {
	w := make([]float64, len(x))
	for i, v := range x {
		w[i] = float64(v)
	}
	return w
}

func TestRows(t *testing.T) {
	for _, k := range rowKernels {
		for _, d := range widths {
			in := newRowInput(t, 5, d)
			want := make([]float64, k.rows(in)*d)
			k.f64(NewContext(1), in.wide(), want)
			for _, v := range Variants() {
				got := guarded(t, len(want))
				k.f32(NewContext(2, WithVariant(v)), in, got)
				for i := range want {
					if !k.tol.ok(float64(got[i]), want[i]) && !k.tol.ok(float64(got[i]), float64(float32(want[i]))) {
						t.Fatalf("%v: %s, rows of %d: element %d = %v, want %v", v, k.name, d, i, got[i], want[i])
					}
				}
			}
		}
	}
}

// A row that varies little about a large mean is where float32 sums would fail.
func TestLayerNormLargeMean(t *testing.T) {
	in := newRowInput(t, 3, 768)
	for i := range in.x {
		in.x[i] = 1000 + in.x[i]/4
	}
	want := make([]float64, len(in.x))
	layerNormOf(NewContext(1), in.wide(), want)
	for _, v := range Variants() {
		got := make([]float32, len(in.x))
		layerNormOf(NewContext(1, WithVariant(v)), in, got)
		for i := range want {
			if !(tolerance{1e-6, 2e-6}).ok(float64(got[i]), want[i]) {
				t.Fatalf("%v: element %d = %v, want %v", v, i, got[i], want[i])
			}
		}
	}
}

func TestNormDefinition(t *testing.T) {
	in := newRowInput(t, 4, 37).wide()
	layer, rms := make([]float64, len(in.x)), make([]float64, len(in.x))
	layerNormOf(NewContext(1), in, layer)
	rmsNormOf(NewContext(1), in, rms)
	for r := range in.rows {
		row := in.x[r*in.d : (r+1)*in.d]
		var mean, square float64
		for _, v := range row {
			mean += v / float64(in.d)
			square += v * v / float64(in.d)
		}
		for i, v := range row {
			at := r*in.d + i
			if want := (v-mean)/math.Sqrt(square-mean*mean+testEps)*in.scale[i] + in.bias[i]; !(tolerance{1e-12, 1e-12}).ok(layer[at], want) {
				t.Fatalf("LayerNorm[%d] = %v, want %v", at, layer[at], want)
			}
			if want := v / math.Sqrt(square+testEps) * in.scale[i]; !(tolerance{1e-12, 1e-12}).ok(rms[at], want) {
				t.Fatalf("RMSNorm[%d] = %v, want %v", at, rms[at], want)
			}
		}
	}
}

// The gradients in float64 agree with central differences of Σ dy·f(x).
func TestRowGradients(t *testing.T) {
	c := NewContext(1)
	for _, g := range []struct {
		name     string
		forward  func(*Context, rowInput[float64], []float64)
		gradient func(*Context, rowInput[float64], []float64)
		at       func(rowInput[float64]) []float64 // what the gradient is with respect to
	}{
		{"Softmax", softmaxOf[float64], func(c *Context, in rowInput[float64], out []float64) {
			y := make([]float64, len(in.x))
			softmaxOf(c, in, y)
			SoftmaxGrad(c, y, in.dy, out, in.rows, in.d)
		}, ofX},
		{"LayerNorm x", layerNormOf[float64], layerNormGradXOf[float64], ofX},
		{"LayerNorm scale", layerNormOf[float64], layerNormGradScaleOf[float64], ofScale},
		{"LayerNorm bias", layerNormOf[float64], layerNormGradBiasOf[float64], ofBias},
		{"RMSNorm x", rmsNormOf[float64], rmsNormGradXOf[float64], ofX},
		{"RMSNorm scale", rmsNormOf[float64], rmsNormGradScaleOf[float64], ofScale},
	} {
		in := newRowInput(t, 3, 9).wide()
		x := g.at(in)
		got := make([]float64, len(x))
		g.gradient(c, in, got)
		y := make([]float64, len(in.x))
		loss := func() float64 {
			g.forward(c, in, y)
			return Dot(y, in.dy)
		}
		for i, v := range x {
			const h = 1e-5
			x[i] = v + h
			up := loss()
			x[i] = v - h
			down := loss()
			x[i] = v
			if want := (up - down) / (2 * h); !(tolerance{1e-7, 1e-8}).ok(got[i], want) {
				t.Errorf("%s: gradient %d = %v, by differences %v", g.name, i, got[i], want)
			}
		}
	}
}

func ofX(in rowInput[float64]) []float64     { return in.x }
func ofScale(in rowInput[float64]) []float64 { return in.scale }
func ofBias(in rowInput[float64]) []float64  { return in.bias }

func TestSoftmaxSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		for _, d := range []int{3, 8, 17, 32, 40} {
			for _, s := range []struct {
				name  string
				first float32
				rest  float32
				want  []float32 // first, rest
			}{
				{"one left", 2, -inf, []float32{1, 0}},
				{"all -Inf", -inf, -inf, []float32{nan, nan}},
				{"NaN", nan, 1, []float32{nan, nan}},
				{"+Inf", inf, 1, []float32{nan, nan}},
				{"far apart", 1000, -1000, []float32{1, 0}},
			} {
				x := guarded(t, d)
				for i := range x {
					x[i] = s.rest
				}
				x[0] = s.first
				Softmax(c, x, x, 1, d)
				want := make([]float32, d)
				for i := range want {
					want[i] = s.want[1]
				}
				want[0] = s.want[0]
				equalBits(t, fmt.Sprintf("%v: %s, d=%d", v, s.name, d), x, want)
			}
		}
	}
}

func TestDot(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, n := range append(widths, 0, 1000) {
		x, y := guarded(t, n), guarded(t, n)
		fill(rng, x)
		fill(rng, y)
		var sum, size float64
		for i := range x {
			sum += float64(x[i]) * float64(y[i])
			size += math.Abs(float64(x[i]) * float64(y[i]))
		}
		got := Dot(x, y)
		if math.Abs(got-sum) > 1e-14*size {
			t.Errorf("n=%d: Dot = %v, want %v", n, got, sum)
		}
		if plain := dotPlain(x, y); got != plain {
			t.Errorf("n=%d: Dot = %v, plain %v", n, got, plain)
		}
		if n == 0 {
			continue
		}
		for _, v := range Variants()[1:] {
			k, _ := vectorKernelsFor(v)
			if got := k.dot(n, &x[0], &y[0]); got != dotPlain(x, y) {
				t.Errorf("%v: n=%d: dot = %v, plain %v", v, n, got, dotPlain(x, y))
			}
		}
	}
	if got := Norm([]float32{3, 4}); got != 5 {
		t.Errorf("Norm(3,4) = %v", got)
	}
	if got := Norm([]float64{3, 4}); got != 5 {
		t.Errorf("Norm(3,4) = %v", got)
	}
}
