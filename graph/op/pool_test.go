package op_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// poolCase is a window over an input of a shape.
type poolCase struct {
	w op.PoolWindow
	x []int
}

func poolWindows() []poolCase {
	return []poolCase{
		{op.PoolWindow{Kernel: []int{2}, Strides: []int{1}, Dilations: []int{2}, Pads: []int{1, 0}}, []int{2, 2, 6}},
		{op.PoolWindow{Kernel: []int{3, 2}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 0}, Ceil: true}, []int{2, 3, 6, 5}},
		{op.PoolWindow{Kernel: []int{2, 2, 2}, Strides: []int{1, 2, 1}, Dilations: []int{1, 1, 1}, Pads: []int{0, 0, 0, 0, 0, 0}}, []int{1, 2, 3, 4, 3}},
	}
}

func TestPoolGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, test := range poolWindows() {
			x := optest.Normal(optest.Random(), test.x...)
			optest.Gradient(t, on, op.MaxPool{PoolWindow: test.w}, x)
			optest.Gradient(t, on, op.AveragePool{PoolWindow: test.w}, x)
			optest.Gradient(t, on, op.AveragePool{PoolWindow: test.w, CountPads: true}, x)
		}
	})
}

func TestMaxPoolIndicesPointAtTheMaxima(t *testing.T) {
	for _, test := range poolWindows() {
		p := op.NewProgram(0)
		x := p.Constant(optest.Normal(optest.Random(), test.x...))
		y, err := p.Emit(op.MaxPool{PoolWindow: test.w}, x)
		if err != nil {
			t.Fatal(err)
		}
		indices, err := p.Emit(op.MaxPoolIndices{PoolWindow: test.w}, x)
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range op.Elem[int64](*indices.Const) {
			if got, want := x.Const.AsFloats()[at], y.Const.AsFloats()[i]; got != want {
				t.Errorf("%v: index %d points at %g, want %g", test.w, at, got, want)
			}
		}
	}
}

// TestMaxPoolTies: of equal elements the first takes the cotangent.
func TestMaxPoolTies(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		o := op.MaxPoolGradient{PoolWindow: op.PoolWindow{Kernel: []int{3}, Strides: []int{1}, Dilations: []int{1}, Pads: []int{0, 0}}}
		dx := optest.Compute(t, on, o, op.Floats([]float32{1, 1, 1, 1}, 1, 1, 4), op.Floats([]float32{1, 1}, 1, 1, 2), op.Floats([]float32{3, 5}, 1, 1, 2))
		testdevice.CloseTo(t, "cotangent", dx.AsFloats(), []float64{3, 5, 0, 0}, 0)
	})
}

// TestPoolFloat32 compares what kernels compute in float32 with plain Go in float64.
func TestPoolFloat32(t *testing.T) {
	for _, test := range append(poolWindows(), poolWindow([]int{3, 5, 23, 18}, 3, 2, 1), poolWindow([]int{2, 70, 9, 70}, 2, 1, 0)) {
		r := optest.Random()
		x := optest.Normal(r, test.x...)
		for _, pads := range []bool{false, true} {
			o := op.AveragePool{PoolWindow: test.w, CountPads: pads}
			y := optest.Apply(t, o, x)
			dout := optest.Normal(r, y.Shape...)
			for _, v := range kernel.Variants() {
				c := kernel.NewContext(2, kernel.WithVariant(v))
				check := func(o op.Op, in op.Array, want op.Array) {
					got := op.Floats(make([]float32, want.Elements()), want.Shape...)
					o.Forward(c, got, []op.Array{optest.Float32(in)})
					testdevice.CloseTo(t, o.Name()+" "+v.String(), got.AsFloats(), want.AsFloats(), 1e-5)
				}
				check(o, x, y)
				check(op.MaxPool{PoolWindow: test.w}, x, optest.Apply(t, op.MaxPool{PoolWindow: test.w}, x))
				gradient := op.AveragePoolGradient{Pool: o, Shape: test.x}
				check(gradient, dout, optest.Apply(t, gradient, dout))
			}
		}
	}
}

func poolWindow(x []int, size, stride, pad int) poolCase {
	return poolCase{op.PoolWindow{Kernel: []int{size, size}, Strides: []int{stride, stride}, Dilations: []int{1, 1}, Pads: []int{pad, pad, pad, pad}}, x}
}
