package op_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestFLOPs: two for each pair of factors, counted by hand.
func TestFLOPs(t *testing.T) {
	of := func(shapes ...[]int) (types []op.Type) {
		for _, s := range shapes {
			types = append(types, op.Type{DType: onnx.Float, Shape: s})
		}
		return types
	}
	grouped := op.Conv{Kernel: []int{3, 3}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 2}
	rows := op.PackedAttention{Heads: 2, HeadDim: 4, Scale: 1}
	packed := op.PackedAttention{Heads: 2, HeadDim: 4, Scale: 1, Offsets: [3]int{0, 8, 16}}
	for name, c := range map[string]struct {
		op   op.Counted
		in   []op.Type
		want int64
	}{
		"matrices":                    {op.MatMul{}, of([]int{3, 5}, []int{5, 7}), 2 * 3 * 5 * 7},
		"transposed matrices":         {op.MatMul{TransA: true, TransB: true}, of([]int{5, 3}, []int{7, 5}), 2 * 3 * 5 * 7},
		"stacks":                      {op.MatMul{}, of([]int{2, 1, 3, 5}, []int{4, 5, 7}), 8 * 2 * 3 * 5 * 7},
		"linear":                      {op.Linear{}, of([]int{2, 3, 5}, []int{5, 7}, []int{7}), 2 * 6 * 5 * 7},
		"linear, transposed":          {op.Linear{TransW: true}, of([]int{2, 3, 5}, []int{7, 5}), 2 * 6 * 5 * 7},
		"convolution":                 {grouped, of([]int{2, 4, 8, 8}, []int{6, 2, 3, 3}), 2 * 2 * 6 * 16 * 18},
		"convolution, of its input":   {op.ConvGradient{Conv: grouped, Shape: []int{2, 4, 8, 8}}, of([]int{6, 2, 3, 3}, []int{2, 6, 4, 4}), 2 * 2 * 6 * 16 * 18},
		"convolution, of its filters": {op.ConvGradient{Conv: grouped, Filters: true, Shape: []int{6, 2, 3, 3}}, of([]int{2, 4, 8, 8}, []int{2, 6, 4, 4}), 2 * 2 * 6 * 16 * 18},
		"convolution and more":        {op.ConvThen{Conv: grouped, Add: true, Then: op.Relu{}}, of([]int{2, 4, 8, 8}, []int{6, 2, 3, 3}, []int{6}, []int{2, 6, 4, 4}), 2 * 2 * 6 * 16 * 18},
		"patches":                     {op.PatchEmbedding{Kernel: []int{4, 4}}, of([]int{2, 3, 8, 8}, []int{5, 3, 4, 4}, []int{5}), 2 * 2 * 4 * 5 * 48},
		"patches, of their filters":   {op.PatchGradient{Kernel: []int{4, 4}, Filters: true, Shape: []int{5, 3, 4, 4}}, of([]int{2, 3, 8, 8}, []int{2, 4, 5}), 2 * 2 * 4 * 5 * 48},
		"attention":                   {packed, of([]int{3, 5, 24}), 2 * 2 * 3 * 2 * 5 * 5 * 4},
		"attention, few queries":      {rows, of([]int{3, 1, 8}, []int{3, 5, 8}, []int{3, 5, 8}), 2 * 2 * 3 * 2 * 1 * 5 * 4},
		"attention, backward":         {op.PackedAttentionGradient{Attention: packed}, of([]int{3, 5, 24}, []int{3, 5, 8}), 5 * 2 * 3 * 2 * 5 * 5 * 4},
		"attention, back to values":   {op.PackedAttentionGradient{Attention: rows, Need: [3]bool{false, false, true}}, of([]int{3, 1, 8}, []int{3, 5, 8}, []int{3, 5, 8}, []int{3, 1, 8}), 2 * 2 * 3 * 2 * 1 * 5 * 4},
	} {
		if o, ok := c.op.(op.Op); ok {
			if _, err := o.Infer(c.in); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
		}
		if got := c.op.FLOPs(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
