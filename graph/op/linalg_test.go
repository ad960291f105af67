package op

import (
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestMatMulGradient(t *testing.T) {
	for _, test := range []struct {
		o    MatMul
		a, b []int
	}{
		{MatMul{}, []int{3, 4}, []int{4, 2}},
		{MatMul{Alpha: 0.5}, []int{2, 3, 4}, []int{4, 5}},
		{MatMul{TransB: true}, []int{2, 3, 4}, []int{5, 4}},
		{MatMul{TransB: true}, []int{2, 3, 4}, []int{1, 5, 4}},
		{MatMul{TransA: true, Alpha: 3}, []int{2, 4, 3}, []int{4, 5}},
		{MatMul{TransA: true, TransB: true}, []int{2, 4, 3}, []int{2, 5, 4}},
		{MatMul{TransB: true, Alpha: 2}, []int{2, 3, 2, 4}, []int{2, 3, 5, 4}},
		{MatMul{}, []int{2, 1, 2, 3}, []int{4, 3, 2}},
		{MatMul{}, []int{2, 3}, []int{2, 2, 3, 2}},
		{MatMul{}, []int{1, 3, 2, 2}, []int{2, 1, 2, 3}},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			r := random()
			checkGradient(t, test.o, normal(r, test.a...), normal(r, test.b...))
		})
	}
}

func TestMatMulInts(t *testing.T) {
	p := NewProgram(0)
	a := p.Constant(Array{Type{onnx.Uint8, []int{2, 2}}, []int64{1, 2, 3, 200}})
	b := p.Constant(Array{Type{onnx.Uint8, []int{2, 2}}, []int64{1, 0, 2, 3}})
	y, err := p.Emit(MatMul{TransB: true}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "product", y.Const.AsFloats(), []float64{1, 8, 3, float64((6 + 600) % 256)}, 0)
}

func TestLinearGradient(t *testing.T) {
	r := random()
	checkGradient(t, Linear{}, normal(r, 2, 3, 4), normal(r, 4, 5))
	checkGradient(t, Linear{}, normal(r, 3, 4), normal(r, 4, 5), normal(r, 5))
	checkGradient(t, Linear{TransW: true}, normal(r, 2, 3, 4), normal(r, 5, 4), normal(r, 5))
}

func TestSoftmaxGradient(t *testing.T) {
	for axis := range 3 {
		x := normal(random(), 2, 3, 4)
		checkGradient(t, Softmax{axis}, x)
		checkGradient(t, LogSoftmax{axis}, x)
	}
}

func TestNormalizationGradient(t *testing.T) {
	r := random()
	for axis, slice := range [][]int{{2, 3, 4}, {3, 4}, {4}, {12}} {
		axis %= 3
		if len(slice) == 1 && slice[0] == 12 {
			axis = 1 // a vector for slices of several dimensions
		}
		x, scale, bias := normal(r, 2, 3, 4), normal(r, slice...), normal(r, slice...)
		checkGradient(t, LayerNormalization{axis, 1e-3}, x, scale, bias)
		checkGradient(t, LayerNormalization{axis, 1e-3}, x, scale)
		checkGradient(t, RMSNormalization{axis, 1e-3}, x, scale)
	}
}

func TestBatchNormalizationGradient(t *testing.T) {
	r := random()
	for _, shape := range [][]int{{3, 2}, {2, 3, 4}, {2, 3, 2, 2}} {
		c := shape[1]
		checkGradient(t, BatchNormalization{1e-3}, normal(r, shape...), normal(r, c), normal(r, c), normal(r, c), positive(r, c))
	}
}

// TestThreadsDoNotMatter runs the Ops that divide their work on several numbers
// of threads and compares bits.
func TestThreadsDoNotMatter(t *testing.T) {
	r := random()
	input := func(shape ...int) Array { return toFloat32(normal(r, shape...)) }
	attention := PackedAttention{Heads: 3, HeadDim: 8, Scale: 0.3, Offsets: [3]int{0, 24, 48}}
	conv := Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 1}
	for _, test := range []struct {
		o  Op
		in []Array
	}{
		{MatMul{TransB: true}, []Array{input(6, 70, 40), input(6, 90, 40)}},
		{Linear{}, []Array{input(4, 100, 48), input(48, 96), input(96)}},
		{Softmax{1}, []Array{input(50, 40, 30)}},
		{Loss{Focal{2}}, []Array{input(300, 40), NewArray(Type{onnx.Int64, []int{300}}), input(1)}},
		{lossGradient{Focal{2}}, []Array{input(300, 40), NewArray(Type{onnx.Int64, []int{300}}), input(1), input(300)}},
		{attention, []Array{input(5, 70, 72)}},
		{packedAttentionGradient{Attention: attention}, []Array{input(5, 70, 72), input(5, 70, 24)}},
		{conv, []Array{input(3, 4, 30, 30), input(8, 4, 3, 3), input(8)}},
		{convGradient{Conv: conv, Shape: []int{3, 4, 30, 30}}, []Array{input(8, 4, 3, 3), input(3, 8, 30, 30)}},
		{convGradient{Conv: conv, Filters: true, Shape: []int{8, 4, 3, 3}}, []Array{input(3, 4, 30, 30), input(3, 8, 30, 30)}},
		{PatchEmbedding{[]int{2, 2}}, []Array{input(3, 4, 30, 30), input(8, 4, 2, 2), input(8)}},
		{patchGradient{Kernel: []int{2, 2}, Shape: []int{3, 4, 30, 30}}, []Array{input(8, 4, 2, 2), input(3, 225, 8)}},
		{patchGradient{Kernel: []int{2, 2}, Filters: true, Shape: []int{8, 4, 2, 2}}, []Array{input(3, 4, 30, 30), input(3, 225, 8)}},
	} {
		var first []float32
		for _, threads := range []int{1, 2, 3} {
			types := typesOf(test.in)
			result, err := test.o.Infer(types)
			if err != nil {
				t.Fatal(err)
			}
			out := NewArray(result)
			test.o.Forward(kernel.NewContext(threads), out, test.in)
			y := Elem[float32](out)
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
