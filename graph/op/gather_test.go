package op

import (
	"fmt"
	"testing"
)

func TestSelectionGradients(t *testing.T) {
	r := random()
	index := func(shape []int, v ...int64) Array { return Ints(v, shape...) }
	for _, test := range []struct {
		o  Op
		in []Array
	}{
		{Gather{Axis: 1}, []Array{normal(r, 2, 4, 3), index([]int{}, 0)}},
		{Gather{Axis: 0}, []Array{normal(r, 5, 2), index([]int{2, 3}, 1, 1, -1, 4, 0, 1)}},
		{Gather{Axis: 2}, []Array{normal(r, 2, 2, 4), index([]int{3}, 3, 3, 0)}},
		{Pad{Before: []int{1, 0}, After: []int{0, 2}, Mode: PadConstant, Value: 3}, []Array{normal(r, 2, 3)}},
		{Pad{Before: []int{-1, 1}, After: []int{2, -1}, Mode: PadConstant}, []Array{normal(r, 3, 3)}},
		{Pad{Before: []int{1, 2}, After: []int{2, 1}, Mode: PadEdge}, []Array{normal(r, 2, 3)}},
		{Pad{Before: []int{1, 2}, After: []int{2, 1}, Mode: PadReflect}, []Array{normal(r, 3, 4)}},
		{Pad{Before: []int{1, 2}, After: []int{2, 1}, Mode: PadWrap}, []Array{normal(r, 3, 4)}},
		{Scatter{At: GatherND{}}, []Array{normal(r, 4, 3), index([]int{3, 1}, 1, -1, 1), normal(r, 3, 3)}},
		{Scatter{At: GatherND{}, Add: true}, []Array{normal(r, 4, 3), index([]int{3, 1}, 1, -1, 1), normal(r, 3, 3)}},
		{Scatter{At: GatherElements{1}}, []Array{normal(r, 2, 3), index([]int{2, 2}, 0, 0, -1, 1), normal(r, 2, 2)}},
		{Scatter{At: GatherElements{0}, Add: true}, []Array{normal(r, 2, 3), index([]int{2, 2}, 0, 0, 0, 1), normal(r, 2, 2)}},
		{Scatter{At: GatherND{}}, []Array{normal(r, 4, 3), index([]int{2, 2}, 0, 2, 3, 1), normal(r, 2)}},
	} {
		t.Run(fmt.Sprint(test.o.Name(), test.o, test.in[0].Shape), func(t *testing.T) { checkGradient(t, test.o, test.in...) })
	}
}

func TestInferRefuses(t *testing.T) {
	float := func(shape ...int) Type { return Type{1, shape} }
	integer := func(shape ...int) Type { return Type{7, shape} }
	for _, test := range []struct {
		o  Op
		in []Type
	}{
		{Gather{Axis: 2}, []Type{float(2, 3), integer(1)}},
		{Gather{Axis: 0}, []Type{float(2, 3), float(1)}},
		{Pad{Before: []int{1}, After: []int{1}, Mode: PadConstant}, []Type{float(2, 3)}},
		{Pad{Before: []int{-3}, After: []int{0}, Mode: PadConstant}, []Type{float(2)}},
		{Pad{Before: []int{2}, After: []int{0}, Mode: PadReflect}, []Type{float(2)}},
		{Scatter{At: GatherND{}}, []Type{float(4, 3), integer(2, 3), float(2)}},
		{Scatter{At: GatherND{}}, []Type{float(4, 3), integer(2, 1), float(2, 2)}},
		{Reshape{Shape: []int{4}}, []Type{float(2, 3)}},
		{Transpose{Perm: []int{0, 0}}, []Type{float(2, 3)}},
		{Concat{Axis: 0}, []Type{float(2, 3), float(2, 4)}},
		{Expand{Shape: []int{2, 2}}, []Type{float(2, 3)}},
		{Slice{Starts: []int{1}, Sizes: []int{2}, Steps: []int{1}}, []Type{float(2)}},
	} {
		if out, err := test.o.Infer(test.in); err == nil {
			t.Errorf("%s %v of %v gives %v", test.o.Name(), test.o, test.in, out)
		}
	}
}
