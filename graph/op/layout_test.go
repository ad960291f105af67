package op_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

func TestLayoutGradients(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for _, k := range []struct {
			op    op.Op
			shape []int
		}{
			{op.Reshape{Shape: []int{3, 4}}, []int{2, 6}},
			{op.Reshape{Shape: []int{}}, []int{1, 1}},
			{op.Transpose{Perm: []int{1, 0}}, []int{3, 5}},
			{op.Transpose{Perm: []int{0, 2, 1, 3}}, []int{2, 3, 4, 5}},
			{op.Transpose{Perm: []int{2, 0, 3, 1, 4}}, []int{2, 3, 2, 2, 3}},
			{op.Slice{Starts: []int{1, 4}, Sizes: []int{1, 2}, Steps: []int{1, -3}}, []int{3, 5}},
			{op.Slice{Starts: []int{0, 1, 0}, Sizes: []int{2, 1, 4}, Steps: []int{1, 1, 1}}, []int{2, 3, 4}},
			{op.Slice{Starts: []int{0}, Sizes: []int{0}, Steps: []int{1}}, []int{3}},
			{op.Expand{Shape: []int{2, 3, 4}}, []int{3, 1}},
			{op.Expand{Shape: []int{5}}, []int{}},
		} {
			t.Run(fmt.Sprint(k.op.Name(), k.op, k.shape), func(t *testing.T) { optest.Gradient(t, on, k.op, optest.Normal(r, k.shape...)) })
		}
		t.Run("Concat", func(t *testing.T) {
			optest.Gradient(t, on, op.Concat{Axis: 1}, optest.Normal(r, 2, 1, 3), optest.Normal(r, 2, 4, 3), optest.Normal(r, 2, 2, 3))
			optest.Gradient(t, on, op.Concat{Axis: 0}, optest.Normal(r, 2), optest.Normal(r, 3))
		})
	})
}
