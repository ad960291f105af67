package op_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
)

func TestPickGradients(t *testing.T) {
	r := optest.Random()
	for _, k := range []struct {
		op      op.Op
		data    []int
		indices op.Array
	}{
		{op.GatherElements{Axis: 1}, []int{2, 3}, op.Ints([]int64{0, 0, -1, 2}, 2, 2)},
		{op.GatherElements{Axis: 0}, []int{3, 2, 2}, op.Ints([]int64{2, 2, 0, 1}, 2, 1, 2)},
		{op.GatherND{}, []int{2, 3, 2}, op.Ints([]int64{1, 2, 0, 0, 1, -1}, 3, 2)},
		{op.GatherND{BatchDims: 1}, []int{2, 3, 2}, op.Ints([]int64{1, 1, 0, 2}, 2, 2, 1)},
		{op.Trilu{K: 1, Upper: true}, []int{2, 3, 4}, op.Array{}},
		{op.Trilu{K: -1, Upper: false}, []int{4, 3}, op.Array{}},
		{op.CumSum{Axis: 1, Exclusive: false, Reverse: false}, []int{2, 4, 3}, op.Array{}},
		{op.CumSum{Axis: 0, Exclusive: true, Reverse: true}, []int{5}, op.Array{}},
	} {
		t.Run(fmt.Sprint(k.op.Name(), k.op), func(t *testing.T) {
			in := []op.Array{optest.Normal(r, k.data...)}
			if k.indices.Data != nil {
				in = append(in, k.indices)
			}
			optest.Gradient(t, k.op, in...)
		})
	}
}
