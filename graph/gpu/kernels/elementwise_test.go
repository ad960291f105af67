//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

var functions = []struct {
	f        kernels.Function
	o        op.Op
	a, b     float32
	positive bool // what it is defined for
	grad     bool
	ofResult bool // the gradient's
}{
	{f: kernels.Neg, o: op.Neg{}},
	{f: kernels.Abs, o: op.Abs{}},
	{f: kernels.Sign, o: op.Sign{}},
	{f: kernels.Round, o: op.Round{To: op.Nearest}},
	{f: kernels.Floor, o: op.Round{To: op.Floor}},
	{f: kernels.Ceil, o: op.Round{To: op.Ceil}},
	{f: kernels.Sqrt, o: op.Sqrt{}, positive: true, grad: true, ofResult: true},
	{f: kernels.Reciprocal, o: op.Reciprocal{}, positive: true, grad: true, ofResult: true},
	{f: kernels.Exp, o: op.Exp{}},
	{f: kernels.Log, o: op.Log{}, positive: true},
	{f: kernels.Erf, o: op.Erf{}, grad: true},
	{f: kernels.Relu, o: op.Relu{}, grad: true, ofResult: true},
	{f: kernels.LeakyRelu, o: op.LeakyRelu{Alpha: 0.25}, a: 0.25, grad: true},
	{f: kernels.Elu, o: op.Elu{Alpha: 1.5}, a: 1.5, grad: true},
	{f: kernels.Sigmoid, o: op.Sigmoid{}, grad: true, ofResult: true},
	{f: kernels.Tanh, o: op.Tanh{}, grad: true, ofResult: true},
	{f: kernels.Softplus, o: op.Softplus{}},
	{f: kernels.HardSigmoid, o: op.HardSigmoid{Alpha: 0.25, Beta: 0.5}, a: 0.25, b: 0.5, grad: true, ofResult: true},
	{f: kernels.GELU, o: op.GELU{}, grad: true},
	{f: kernels.GELUTanh, o: op.GELU{Tanh: true}, grad: true},
	{f: kernels.QuickGELU, o: op.QuickGELU{Alpha: 1.75}, a: 1.75, grad: true},
	{f: kernels.Clip, o: op.Clip{Min: -0.5, Max: 0.75}, a: -0.5, b: 0.75, grad: true},
}

func TestUnary(t *testing.T) {
	for _, c := range functions {
		t.Run(string(c.f), func(t *testing.T) {
			d := open(t)
			for _, n := range []int{0, 1, 255, 5000} {
				x := d.normal(n)
				if c.positive {
					x = d.positive(n)
				}
				if n > 100 {
					inf := float32(math.Inf(1))
					copy(x, []float32{0, float32(math.Copysign(0, -1)), inf, -inf, float32(math.NaN()), 40, -40, 0.5, 1.5, 2.5})
				}
				if c.f == kernels.Sqrt && n > 100 || c.f == kernels.Log && n > 100 {
					x[3], x[6] = 4, 5 // where graph/op and C agree on the sign of NaN, nothing is promised
				}
				p := upload(d, x)
				y := d.result(n, func(y driver.Ptr) error {
					return kernels.Unary(d.q, c.f, kernels.Float32(p), kernels.Float32(y), n, c.a, c.b)
				})
				d.close(fmt.Sprint(n), finite(slices.Clone(y)), finite(op.Elem[float64](d.forward(c.o, doubles(x, n)))), 2e-6)
				d.do(kernels.Unary(d.q, c.f, kernels.Float32(p), kernels.Float32(p), n, c.a, c.b)) // in place
				if got := download[float32](d, p, n); string(driver.Bytes(got)) != string(driver.Bytes(y)) {
					t.Error("in place it differs")
				}
			}
		})
	}
}

// finite caps numbers beyond float32's range as they are rounded to it.
func finite[T float32 | float64](x []T) []T {
	for i, v := range x {
		if math.Abs(float64(v)) > 1e15 && !math.IsInf(float64(v), 0) {
			x[i] = 0
		}
	}
	return x
}

func TestUnaryGrad(t *testing.T) {
	for _, c := range functions {
		if !c.grad {
			continue
		}
		t.Run(string(c.f), func(t *testing.T) {
			d := open(t)
			const n = 300
			x, dy := d.normal(n), d.normal(n)
			if c.positive {
				x = d.positive(n)
			}
			v := x
			if c.ofResult {
				v = op.Elem[float32](d.forward(c.o, op.Floats(x, n)))
			}
			pv, pdy := upload(d, v), upload(d, dy)
			dx := d.result(n, func(dx driver.Ptr) error {
				return kernels.UnaryGrad(d.q, c.f, kernels.Float32(pv), kernels.Float32(pdy), kernels.Float32(dx), n, c.a, c.b)
			})
			d.close("dx", dx, d.gradient(c.o, 0, dy, doubles(x, n)), 1e-5)
		})
	}
}

// TestUnaryGradAtKinks: what graph/op says where a function has no derivative.
func TestUnaryGradAtKinks(t *testing.T) {
	d := open(t)
	for _, c := range []struct {
		f       kernels.Function
		a, b    float32
		v, want []float32
	}{
		{kernels.Relu, 0, 0, []float32{0, 1}, []float32{0, 3}},
		{kernels.LeakyRelu, 0.5, 0, []float32{0, 1}, []float32{1.5, 3}},
		{kernels.Clip, -1, 1, []float32{-1, 1, 2}, []float32{3, 3, 0}},
		{kernels.HardSigmoid, 0.5, 0, []float32{0, 1, 0.5}, []float32{0, 0, 1.5}},
		{kernels.Elu, 2, 0, []float32{0}, []float32{3}},
	} {
		n := len(c.v)
		v, dy := upload(d, c.v), upload(d, slices.Repeat([]float32{3}, n))
		got := d.result(n, func(dx driver.Ptr) error {
			return kernels.UnaryGrad(d.q, c.f, kernels.Float32(v), kernels.Float32(dy), kernels.Float32(dx), n, c.a, c.b)
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s at %v: %v, expected %v", c.f, c.v, got, c.want)
		}
	}
}

func TestAffineAndFill(t *testing.T) {
	d := open(t)
	const n = 1000
	x := d.normal(n)
	p := upload(d, x)
	want := make([]float64, n)
	for i, v := range x {
		want[i] = 3*float64(v) - 2
	}
	d.close("affine", d.result(n, func(y driver.Ptr) error {
		return kernels.Unary(d.q, kernels.Affine, kernels.Float32(p), kernels.Float32(y), n, 3, -2)
	}), want, 1e-6)
	for i := range want {
		want[i] = 7
	}
	d.close("fill", d.result(n, func(y driver.Ptr) error { return kernels.Fill(d.q, kernels.Float32(y), 7, n) }), want, 0)
}

func TestBiasResidual(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {3, 7}, {5000, 3}, {19, 768}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d := open(t)
			rows, columns := size[0], size[1]
			n := rows * columns
			x, bias, residual := d.normal(n), d.normal(columns), d.normal(n)
			px, pb, pr := upload(d, x), upload(d, bias), upload(d, residual)
			want := d.want(op.Add{}, d.forward(op.Add{}, doubles(x, rows, columns), doubles(bias, columns)), doubles(residual, rows, columns))
			d.close("y", d.result(n, func(y driver.Ptr) error {
				return kernels.BiasResidual(d.q, kernels.Float32(px), pb, kernels.Float32(pr), kernels.Float32(y), rows, columns)
			}), want, 1e-6)
		})
	}
}

// TestLargeGrids: arrays of which each thread takes several parts, because there
// are no more blocks.
func TestLargeGrids(t *testing.T) {
	d := open(t)
	const n = 2_200_000
	ones := make([]float64, n)
	for i := range ones {
		ones[i] = 1
	}
	d.close("elements", d.result(n, func(y driver.Ptr) error { return kernels.Fill(d.q, kernels.Float32(y), 1, n) }), ones, 0)
	const rows, columns = 70_000, 30
	x, bias := d.normal(rows*columns), d.normal(columns)
	px, pb := upload(d, x), upload(d, bias)
	y := d.result(len(x), func(y driver.Ptr) error {
		return kernels.Binary(d.q, kernels.Add, kernels.Float32(px), []int{rows, columns}, kernels.Float32(pb), []int{columns}, kernels.Float32(y), []int{rows, columns})
	})
	d.close("rows", y, d.want(op.Add{}, doubles(x, rows, columns), doubles(bias, columns)), 1e-6)
	const many, few = 33_000, 3
	y = d.result(many*few, func(y driver.Ptr) error {
		return kernels.SoftmaxRows(d.q, kernels.Float32(px), kernels.Float32(y), many, few, few, false)
	})
	d.close("warps", y, d.want(op.Softmax{Axis: 1}, doubles(x[:many*few], many, few)), 1e-6)
}

// TestSizesAreChecked: sizes that are negative or whose product overflows.
func TestSizesAreChecked(t *testing.T) {
	d := open(t)
	const huge = math.MaxInt / 2
	for name, err := range map[string]error{
		"negative":        kernels.Fill(d.q, kernels.Float32(0), 1, -1),
		"rows":            kernels.BiasResidual(d.q, kernels.Float32(0), 0, kernels.Float32(0), kernels.Float32(0), huge, 8),
		"softmax":         kernels.SoftmaxRows(d.q, kernels.Float32(0), kernels.Float32(0), 3, 4, 3, false),
		"binary":          kernels.Binary(d.q, kernels.Add, kernels.Float32(0), []int{1 << 20, 1 << 20}, kernels.Float32(0), []int{1}, kernels.Float32(0), []int{1 << 20, 1 << 20}),
		"broadcast":       kernels.Binary(d.q, kernels.Add, kernels.Float32(0), []int{2}, kernels.Float32(0), []int{3}, kernels.Float32(0), []int{3}),
		"axis":            kernels.Reduce(d.q, kernels.Sum, kernels.Float32(0), kernels.Float32(0), []int{2}, []int{1}, 1, 0),
		"window":          kernels.MaxPool(d.q, kernels.Window{}, 0, 0, 1),
		"unknown":         kernels.Unary(d.q, "nothing", kernels.Float32(0), kernels.Float32(0), 1, 0, 0),
		"groups":          kernels.Convolution{Channels: 3, Filters: 4, Groups: 2, Images: 1}.Forward(d.q, driver.FP32, 0, 0, 0, 0, 0),
		"too many loops":  kernels.Move(d.q, slices.Repeat([]int{2}, 7), kernels.Placement{Strides: shapes.RowMajor(slices.Repeat([]int{3}, 7))}, kernels.Placement{Strides: shapes.RowMajor(slices.Repeat([]int{4}, 7))}),
		"strides":         kernels.Move(d.q, []int{2, 2}, kernels.Placement{Strides: []int{1}}, kernels.Placement{Strides: []int{1, 2}}),
		"stride overflow": kernels.Move(d.q, []int{2, 3}, kernels.Placement{Strides: []int{1 << 40, 1}}, kernels.Placement{Strides: []int{3, 1}}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
