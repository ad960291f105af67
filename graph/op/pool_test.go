package op_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

func poolWindows() []struct {
	w op.PoolWindow
	x []int
} {
	return []struct {
		w op.PoolWindow
		x []int
	}{
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
