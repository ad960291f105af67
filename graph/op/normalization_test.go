package op_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

func TestNormalizationGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for axis, slice := range [][]int{{2, 3, 4}, {3, 4}, {4}, {12}} {
			axis %= 3
			if len(slice) == 1 && slice[0] == 12 {
				axis = 1 // a vector for slices of several dimensions
			}
			x, scale, bias := optest.Normal(r, 2, 3, 4), optest.Normal(r, slice...), optest.Normal(r, slice...)
			optest.Gradient(t, on, op.LayerNormalization{Axis: axis, Epsilon: 1e-3}, x, scale, bias)
			optest.Gradient(t, on, op.LayerNormalization{Axis: axis, Epsilon: 1e-3}, x, scale)
			optest.Gradient(t, on, op.RMSNormalization{Axis: axis, Epsilon: 1e-3}, x, scale)
		}
	})
}

func TestBatchNormalizationGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for _, shape := range [][]int{{3, 2}, {2, 3, 4}, {2, 3, 2, 2}} {
			c := shape[1]
			optest.Gradient(t, on, op.BatchNormalization{Epsilon: 1e-3}, optest.Normal(r, shape...), optest.Normal(r, c), optest.Normal(r, c), optest.Normal(r, c), optest.Positive(r, c))
		}
	})
}
