package op_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestMatMulGradient(t *testing.T) {
	for _, test := range []struct {
		o    op.MatMul
		a, b []int
	}{
		{op.MatMul{}, []int{3, 4}, []int{4, 2}},
		{op.MatMul{Alpha: 0.5}, []int{2, 3, 4}, []int{4, 5}},
		{op.MatMul{TransB: true}, []int{2, 3, 4}, []int{5, 4}},
		{op.MatMul{TransB: true}, []int{2, 3, 4}, []int{1, 5, 4}},
		{op.MatMul{TransA: true, Alpha: 3}, []int{2, 4, 3}, []int{4, 5}},
		{op.MatMul{TransA: true, TransB: true}, []int{2, 4, 3}, []int{2, 5, 4}},
		{op.MatMul{TransB: true, Alpha: 2}, []int{2, 3, 2, 4}, []int{2, 3, 5, 4}},
		{op.MatMul{}, []int{2, 1, 2, 3}, []int{4, 3, 2}},
		{op.MatMul{}, []int{2, 3}, []int{2, 2, 3, 2}},
		{op.MatMul{}, []int{1, 3, 2, 2}, []int{2, 1, 2, 3}},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			r := optest.Random()
			optest.Gradient(t, test.o, optest.Normal(r, test.a...), optest.Normal(r, test.b...))
		})
	}
}

func TestMatMulInts(t *testing.T) {
	p := op.NewProgram(0)
	a := p.Constant(op.Array{Type: op.Type{DType: onnx.Uint8, Shape: []int{2, 2}}, Data: []int64{1, 2, 3, 200}})
	b := p.Constant(op.Array{Type: op.Type{DType: onnx.Uint8, Shape: []int{2, 2}}, Data: []int64{1, 0, 2, 3}})
	y, err := p.Emit(op.MatMul{TransB: true}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	optest.CloseTo(t, "product", y.Const.AsFloats(), []float64{1, 8, 3, float64((6 + 600) % 256)}, 0)
}

func TestLinearGradient(t *testing.T) {
	r := optest.Random()
	optest.Gradient(t, op.Linear{}, optest.Normal(r, 2, 3, 4), optest.Normal(r, 4, 5))
	optest.Gradient(t, op.Linear{}, optest.Normal(r, 3, 4), optest.Normal(r, 4, 5), optest.Normal(r, 5))
	optest.Gradient(t, op.Linear{TransW: true}, optest.Normal(r, 2, 3, 4), optest.Normal(r, 5, 4), optest.Normal(r, 5))
}

func TestSoftmaxGradient(t *testing.T) {
	for axis := range 3 {
		x := optest.Normal(optest.Random(), 2, 3, 4)
		optest.Gradient(t, op.Softmax{Axis: axis}, x)
		optest.Gradient(t, op.LogSoftmax{Axis: axis}, x)
	}
}

func TestNormalizationGradient(t *testing.T) {
	r := optest.Random()
	for axis, slice := range [][]int{{2, 3, 4}, {3, 4}, {4}, {12}} {
		axis %= 3
		if len(slice) == 1 && slice[0] == 12 {
			axis = 1 // a vector for slices of several dimensions
		}
		x, scale, bias := optest.Normal(r, 2, 3, 4), optest.Normal(r, slice...), optest.Normal(r, slice...)
		optest.Gradient(t, op.LayerNormalization{Axis: axis, Epsilon: 1e-3}, x, scale, bias)
		optest.Gradient(t, op.LayerNormalization{Axis: axis, Epsilon: 1e-3}, x, scale)
		optest.Gradient(t, op.RMSNormalization{Axis: axis, Epsilon: 1e-3}, x, scale)
	}
}

func TestBatchNormalizationGradient(t *testing.T) {
	r := optest.Random()
	for _, shape := range [][]int{{3, 2}, {2, 3, 4}, {2, 3, 2, 2}} {
		c := shape[1]
		optest.Gradient(t, op.BatchNormalization{Epsilon: 1e-3}, optest.Normal(r, shape...), optest.Normal(r, c), optest.Normal(r, c), optest.Normal(r, c), optest.Positive(r, c))
	}
}

// TestThreadsDoNotMatter runs the Ops that divide their work on several numbers
// of threads and compares bits.
func TestThreadsDoNotMatter(t *testing.T) {
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
		{op.LossGradient(op.Focal{Gamma: 2}), []op.Array{input(300, 40), op.NewArray(op.Type{DType: onnx.Int64, Shape: []int{300}}), input(1), input(300)}},
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
			}
			for i := range y {
				if math.Float32bits(y[i]) != math.Float32bits(first[i]) {
					t.Fatalf("%s: element %d is %g on %d threads, %g on one", test.o.Name(), i, y[i], threads, first[i])
				}
			}
		}
	}
}
