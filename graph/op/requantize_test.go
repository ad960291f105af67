package op_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// gradients backpropagates a cotangent to the inputs of a chain of Ops, each of which
// reads what the one before makes.
func gradients(t *testing.T, cotangent op.Array, chain []op.Op, inputs ...op.Array) [][]float32 {
	t.Helper()
	g, feeds := op.NewGraph(), map[*gorgonia.Node]op.Array{}
	input := func(name string, a op.Array, tracked bool) *gorgonia.Node {
		n := g.Input(name, a.Type, tracked)
		feeds[n] = a
		return n
	}
	var in []*gorgonia.Node
	for i, a := range inputs {
		in = append(in, input(fmt.Sprint("x", i), a, true))
	}
	wrt := in
	for _, o := range chain {
		y, err := g.Apply(o, in...)
		if err != nil {
			t.Fatal(err)
		}
		in = []*gorgonia.Node{y}
	}
	nodes, err := g.Backpropagate(in[0], input("cotangent", cotangent, false), wrt)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]float32
	for _, a := range optest.Evaluate(t, g, feeds, nodes...) {
		all = append(all, op.Elem[float32](a))
	}
	return all
}

// TestGradientsToGrids: the gradient of what rounds to a grid is that of the operation on
// floats with FakeQuantize behind it, which is zero beyond the grid.
func TestGradientsToGrids(t *testing.T) {
	grid := func(scale float32, zero int64) onnx.Grid {
		return onnx.Grid{DType: onnx.Int8, Float: onnx.Float, Axis: -1, Scale: []float32{scale}, Zero: []int64{zero}}
	}
	out := grid(0.1, 3)
	x := op.Floats([]float32{1, -2, 3, 40, 5, -60, 7, 0.5, 9}, 1, 1, 3, 3)
	dy := op.Floats([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9}, 1, 1, 3, 3)
	pool := op.AveragePool{PoolWindow: op.PoolWindow{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}}}
	rounds := op.FakeQuantize{Grid: out}
	for _, c := range []struct {
		o      op.Op
		floats []op.Op
		in     []op.Array
	}{
		{op.Requantize{Grid: out, Step: []float64{0.01}, Multiplier: []float32{0.1}}, []op.Op{rounds}, []op.Array{x}},
		{op.QLinearAdd{A: grid(0.5, 0), B: grid(0.25, 1), Out: out}, []op.Op{op.Add{}, rounds}, []op.Array{x, op.Floats([]float32{2, -3, 20}, 3)}},
		{op.QLinearAveragePool{AveragePool: pool, Out: out}, []op.Op{pool, rounds}, []op.Array{x}},
	} {
		got, want := gradients(t, dy, []op.Op{c.o}, c.in...), gradients(t, dy, c.floats, c.in...)
		if !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
			t.Errorf("%s: %v, want %v", c.o.Name(), got, want)
		}
		if !slices.Contains(slices.Concat(got...), 0) && c.o.Name() != "QLinearAveragePool" {
			t.Errorf("%s: %v: nothing beyond the grid", c.o.Name(), got)
		}
	}
	product := op.DynamicProduct{Groups: 1, Scale: []float32{0.1}}
	if got := gradients(t, dy, []op.Op{product}, x, x); !slices.Equal(got[0], op.Elem[float32](dy)) || slices.Max(got[1]) != 0 || slices.Min(got[1]) != 0 {
		t.Errorf("%s: %v", product.Name(), got)
	}
}
