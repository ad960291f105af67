package op_test

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestCopyStridedAgreesWithIndexing(t *testing.T) {
	type placement struct {
		offset  int
		strides []int
	}
	// The plain definition, element by element, against the planned copy, for
	// shapes that meet every path: merged, one row, tiles with remainders,
	// repeated and reversed axes, several tasks.
	for _, k := range []struct {
		shape []int
		from  placement
		n     int
	}{
		{[]int{}, placement{0, []int{}}, 1},
		{[]int{5}, placement{4, []int{-1}}, 5},
		{[]int{3, 4, 5}, placement{0, []int{20, 5, 1}}, 60},
		{[]int{5, 4, 3}, placement{0, []int{1, 5, 20}}, 60},
		{[]int{33, 17}, placement{0, []int{1, 33}}, 33 * 17},
		{[]int{2, 50, 300}, placement{0, []int{15000, 1, 50}}, 30000},
		{[]int{700, 30}, placement{0, []int{1, 700}}, 21000},
		{[]int{3, 20000}, placement{0, []int{0, 1}}, 20000},
		{[]int{40000}, placement{7, []int{0}}, 8},
		{[]int{2, 3, 4, 5}, placement{119, []int{-60, -20, -5, -1}}, 120},
		{[]int{2, 3, 0}, placement{0, []int{0, 0, 1}}, 1},
	} {
		src := optest.Counting(k.n)
		want := make([]float64, shapes.Elements(k.shape))
		for i := range want {
			at, rest := k.from.offset, i
			for d := len(k.shape) - 1; d >= 0; d-- {
				at += rest % k.shape[d] * k.from.strides[d]
				rest /= k.shape[d]
			}
			want[i] = float64(at)
		}
		for _, threads := range []int{1, 3} {
			dst := op.NewArray(op.Type{DType: onnx.Double, Shape: k.shape})
			op.CopyStrided(kernel.NewContext(threads), dst, src, k.from.offset, k.from.strides)
			if !slices.Equal(op.Elem[float64](dst), want) {
				t.Errorf("shape %v from %v: wrong with %d threads", k.shape, k.from, threads)
			}
		}
	}
}
