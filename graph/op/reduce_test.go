package op_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

func TestReduceGradients(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for _, c := range []struct {
			shape []int
			axes  []int
		}{
			{[]int{5}, []int{0}},
			{[]int{3, 4}, []int{1}},
			{[]int{3, 4}, []int{0}},
			{[]int{2, 3, 4}, []int{1}},
			{[]int{2, 3, 4}, []int{0, 2}},
			{[]int{2, 3, 4, 2}, []int{1, 2}},
			{[]int{2, 3, 2, 2, 3}, []int{0, 2, 4}},
			{[]int{2, 3, 4}, nil},
			{[]int{1, 3, 1}, []int{0, 2}},
			{[]int{}, nil},
		} {
			for _, keep := range []bool{false, true} {
				for _, o := range []op.Op{
					op.Reduce{By: op.ReduceSum, Axes: c.axes, KeepDims: keep}, op.Reduce{By: op.ReduceMean, Axes: c.axes, KeepDims: keep}, op.Reduce{By: op.ReduceL2, Axes: c.axes, KeepDims: keep}, op.Reduce{By: op.ReduceMax, Axes: c.axes, KeepDims: keep}, op.Reduce{By: op.ReduceMin, Axes: c.axes, KeepDims: keep},
				} {
					t.Run(fmt.Sprint(o, c.shape), func(t *testing.T) { optest.Gradient(t, on, o, optest.Normal(r, c.shape...)) })
				}
			}
		}
	})
}

func TestSumToGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for _, s := range optest.Broadcasts {
			full, err := shapes.Broadcast(s[0], s[1])
			if err != nil {
				t.Fatal(err)
			}
			for _, shape := range s {
				t.Run(fmt.Sprint(full, shape), func(t *testing.T) { optest.Gradient(t, on, op.SumTo{Shape: shape}, optest.Normal(r, full...)) })
			}
		}
	})
}

func TestMaximumIsShared(t *testing.T) {
	g := op.NewGraph()
	x := g.Input("x", op.Type{DType: onnx.Float, Shape: []int{2, 3}}, true)
	y, err := g.Apply(op.Reduce{By: op.ReduceMax, Axes: []int{1}}, x)
	if err != nil {
		t.Fatal(err)
	}
	dy := g.Input("dy", g.TypeOf(y), false)
	dx, err := g.Backpropagate(y, dy, []*gorgonia.Node{x})
	if err != nil {
		t.Fatal(err)
	}
	got := optest.Evaluate(t, g, map[*gorgonia.Node]op.Array{
		x:  op.Floats([]float32{1, 2, 2, 3, 0, 1}, 2, 3),
		dy: op.Floats([]float32{4, 5}, 2),
	}, dx[0])[0]
	if want := []float32{0, 2, 2, 5, 0, 0}; !slices.Equal(op.Elem[float32](got), want) {
		t.Errorf("gradient %v, want %v", got.Data, want)
	}
}
