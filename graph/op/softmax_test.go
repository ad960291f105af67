package op_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
)

func TestSoftmaxGradient(t *testing.T) {
	for axis := range 3 {
		x := optest.Normal(optest.Random(), 2, 3, 4)
		optest.Gradient(t, op.Softmax{Axis: axis}, x)
		optest.Gradient(t, op.LogSoftmax{Axis: axis}, x)
	}
}
