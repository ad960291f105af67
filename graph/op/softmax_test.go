package op_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

func TestSoftmaxGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for axis := range 3 {
			x := optest.Normal(optest.Random(), 2, 3, 4)
			optest.Gradient(t, on, op.Softmax{Axis: axis}, x)
			optest.Gradient(t, on, op.LogSoftmax{Axis: axis}, x)
		}
	})
}
