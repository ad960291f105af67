package op_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

func TestSelectionGradients(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		index := func(shape []int, v ...int64) op.Array { return op.Ints(v, shape...) }
		for _, test := range []struct {
			o  op.Op
			in []op.Array
		}{
			{op.Gather{Axis: 1}, []op.Array{optest.Normal(r, 2, 4, 3), index([]int{}, 0)}},
			{op.Gather{Axis: 0}, []op.Array{optest.Normal(r, 5, 2), index([]int{2, 3}, 1, 1, -1, 4, 0, 1)}},
			{op.Gather{Axis: 2}, []op.Array{optest.Normal(r, 2, 2, 4), index([]int{3}, 3, 3, 0)}},
			{op.Pad{Before: []int{1, 0}, After: []int{0, 2}, Mode: op.PadConstant, Value: 3}, []op.Array{optest.Normal(r, 2, 3)}},
			{op.Pad{Before: []int{-1, 1}, After: []int{2, -1}, Mode: op.PadConstant}, []op.Array{optest.Normal(r, 3, 3)}},
			{op.Pad{Before: []int{1, 2}, After: []int{2, 1}, Mode: op.PadEdge}, []op.Array{optest.Normal(r, 2, 3)}},
			{op.Pad{Before: []int{1, 2}, After: []int{2, 1}, Mode: op.PadReflect}, []op.Array{optest.Normal(r, 3, 4)}},
			{op.Pad{Before: []int{1, 2}, After: []int{2, 1}, Mode: op.PadWrap}, []op.Array{optest.Normal(r, 3, 4)}},
			{op.Scatter{At: op.GatherND{}}, []op.Array{optest.Normal(r, 4, 3), index([]int{3, 1}, 1, -1, 1), optest.Normal(r, 3, 3)}},
			{op.Scatter{At: op.GatherND{}, Add: true}, []op.Array{optest.Normal(r, 4, 3), index([]int{3, 1}, 1, -1, 1), optest.Normal(r, 3, 3)}},
			{op.Scatter{At: op.GatherElements{Axis: 1}}, []op.Array{optest.Normal(r, 2, 3), index([]int{2, 2}, 0, 0, -1, 1), optest.Normal(r, 2, 2)}},
			{op.Scatter{At: op.GatherElements{Axis: 0}, Add: true}, []op.Array{optest.Normal(r, 2, 3), index([]int{2, 2}, 0, 0, 0, 1), optest.Normal(r, 2, 2)}},
			{op.Scatter{At: op.GatherND{}}, []op.Array{optest.Normal(r, 4, 3), index([]int{2, 2}, 0, 2, 3, 1), optest.Normal(r, 2)}},
		} {
			t.Run(fmt.Sprint(test.o.Name(), test.o, test.in[0].Shape), func(t *testing.T) { optest.Gradient(t, on, test.o, test.in...) })
		}
	})
}

func TestInferRefuses(t *testing.T) {
	float := func(shape ...int) op.Type { return op.Type{DType: 1, Shape: shape} }
	integer := func(shape ...int) op.Type { return op.Type{DType: 7, Shape: shape} }
	for _, test := range []struct {
		o  op.Op
		in []op.Type
	}{
		{op.Gather{Axis: 2}, []op.Type{float(2, 3), integer(1)}},
		{op.Gather{Axis: 0}, []op.Type{float(2, 3), float(1)}},
		{op.Pad{Before: []int{1}, After: []int{1}, Mode: op.PadConstant}, []op.Type{float(2, 3)}},
		{op.Pad{Before: []int{-3}, After: []int{0}, Mode: op.PadConstant}, []op.Type{float(2)}},
		{op.Pad{Before: []int{2}, After: []int{0}, Mode: op.PadReflect}, []op.Type{float(2)}},
		{op.Scatter{At: op.GatherND{}}, []op.Type{float(4, 3), integer(2, 3), float(2)}},
		{op.Scatter{At: op.GatherND{}}, []op.Type{float(4, 3), integer(2, 1), float(2, 2)}},
		{op.Reshape{Shape: []int{4}}, []op.Type{float(2, 3)}},
		{op.Transpose{Perm: []int{0, 0}}, []op.Type{float(2, 3)}},
		{op.Concat{Axis: 0}, []op.Type{float(2, 3), float(2, 4)}},
		{op.Expand{Shape: []int{2, 2}}, []op.Type{float(2, 3)}},
		{op.Slice{Starts: []int{1}, Sizes: []int{2}, Steps: []int{1}}, []op.Type{float(2)}},
	} {
		if out, err := test.o.Infer(test.in); err == nil {
			t.Errorf("%s %v of %v gives %v", test.o.Name(), test.o, test.in, out)
		}
	}
}

func TestPickGradients(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
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
			{op.Trilu{K: -1}, []int{4, 3}, op.Array{}},
			{op.CumSum{Axis: 1}, []int{2, 4, 3}, op.Array{}},
			{op.CumSum{Axis: 0, Exclusive: true, Reverse: true}, []int{5}, op.Array{}},
		} {
			t.Run(fmt.Sprint(k.op.Name(), k.op), func(t *testing.T) {
				in := []op.Array{optest.Normal(r, k.data...)}
				if k.indices.Data != nil {
					in = append(in, k.indices)
				}
				optest.Gradient(t, on, k.op, in...)
			})
		}
	})
}
