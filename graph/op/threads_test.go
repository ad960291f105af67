package op_test

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestThreads compares one thread with four, and with a device, over arrays of several tasks whose
// boundaries fall inside rows.
func TestThreads(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		big, row, column := optest.Float32(optest.Normal(r, 50, 17, 96)), optest.Float32(optest.Normal(r, 96)), optest.Float32(optest.Normal(r, 50, 17, 1))
		for _, c := range []struct {
			o  op.Op
			in []op.Array
		}{
			{op.Add{}, []op.Array{big, row}}, {op.Mul{}, []op.Array{column, big}}, {op.Div{}, []op.Array{big, column}}, {op.Max{}, []op.Array{row, big}},
			{op.GELU{}, []op.Array{big}}, {op.Relu{}, []op.Array{big}}, {op.QuickGELU{Alpha: 1.702}, []op.Array{big}}, {op.PointwiseGradient{Of: op.QuickGELU{Alpha: 1.702}}, []op.Array{big, big}},
			{op.Reduce{By: op.ReduceMean, Axes: []int{2}, KeepDims: true}, []op.Array{big}}, {op.Reduce{By: op.ReduceSum, Axes: []int{1}}, []op.Array{big}}, {op.Reduce{By: op.ReduceMax, Axes: []int{0, 2}, KeepDims: true}, []op.Array{big}},
			{op.SumTo{Shape: []int{96}}, []op.Array{big}}, {op.SumTo{Shape: []int{}}, []op.Array{big}}, {op.Spread{Shape: []int{50, 17, 96}, Axes: []int{2}, Scale: 0.5}, []op.Array{column}},
		} {
			types := make([]op.Type, len(c.in))
			for i, a := range c.in {
				types[i] = a.Type
			}
			want, err := c.o.Infer(types)
			if err != nil {
				t.Fatal(err)
			}
			one, four := op.NewArray(want), op.NewArray(want)
			c.o.Forward(kernel.NewContext(1), one, c.in)
			c.o.Forward(kernel.NewContext(4), four, c.in)
			if !slices.Equal(op.Elem[float32](one), op.Elem[float32](four)) {
				t.Errorf("%#v: the result depends on the number of threads", c.o)
			}
			optest.Compare(t, on, c.o, one, c.in...)
		}
	})
}

// TestThreadsDoNotMatter runs the Ops that divide their work on several numbers
// of threads and compares bits.
func TestThreadsDoNotMatter(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		input := func(shape ...int) op.Array { return optest.Float32(optest.Normal(r, shape...)) }
		attention := op.PackedAttention{Heads: 3, HeadDim: 8, Scale: 0.3, Offsets: [3]int{0, 24, 48}}
		conv := op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 1}
		for _, test := range []struct {
			o  op.Op
			in []op.Array
		}{
			{op.MatMul{TransB: true}, []op.Array{input(6, 70, 40), input(6, 90, 40)}},
			{op.Linear{}, []op.Array{input(4, 100, 48), input(48, 96), input(96)}},
			{op.Softmax{Axis: 1}, []op.Array{input(50, 40, 30)}},
			{op.Loss{Of: op.Focal{Gamma: 2}}, []op.Array{input(300, 40), op.NewArray(op.Type{DType: onnx.Int64, Shape: []int{300}}), input(1)}},
			{op.LossGradient{Of: op.Focal{Gamma: 2}}, []op.Array{input(300, 40), op.NewArray(op.Type{DType: onnx.Int64, Shape: []int{300}}), input(1), input(300)}},
			{attention, []op.Array{input(5, 70, 72)}},
			{op.PackedAttentionGradient{Attention: attention}, []op.Array{input(5, 70, 72), input(5, 70, 24)}},
			{conv, []op.Array{input(3, 4, 30, 30), input(8, 4, 3, 3), input(8)}},
			{op.ConvGradient{Conv: conv, Shape: []int{3, 4, 30, 30}}, []op.Array{input(8, 4, 3, 3), input(3, 8, 30, 30)}},
			{op.ConvGradient{Conv: conv, Filters: true, Shape: []int{8, 4, 3, 3}}, []op.Array{input(3, 4, 30, 30), input(3, 8, 30, 30)}},
			{op.PatchEmbedding{Kernel: []int{2, 2}}, []op.Array{input(3, 4, 30, 30), input(8, 4, 2, 2), input(8)}},
			{op.PatchGradient{Kernel: []int{2, 2}, Shape: []int{3, 4, 30, 30}}, []op.Array{input(8, 4, 2, 2), input(3, 225, 8)}},
			{op.PatchGradient{Kernel: []int{2, 2}, Filters: true, Shape: []int{8, 4, 2, 2}}, []op.Array{input(3, 4, 30, 30), input(3, 225, 8)}},
		} {
			var first []float32
			for _, threads := range []int{1, 2, 3} {
				types := op.TypesOf(test.in)
				result, err := test.o.Infer(types)
				if err != nil {
					t.Fatal(err)
				}
				out := op.NewArray(result)
				test.o.Forward(kernel.NewContext(threads), out, test.in)
				y := op.Elem[float32](out)
				if first == nil {
					first = y
					optest.Compare(t, on, test.o, out, test.in...)
				}
				for i := range y {
					if math.Float32bits(y[i]) != math.Float32bits(first[i]) {
						t.Fatalf("%s: element %d is %g on %d threads, %g on one", test.o.Name(), i, y[i], threads, first[i])
					}
				}
			}
		}
	})
}
