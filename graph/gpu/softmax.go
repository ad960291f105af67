//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// softmax serves Softmax, LogSoftmax and their gradients.
func softmax(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	forward := func(axis int, logarithm bool) *launch {
		outer, inner := shapes.Around(s.out.Shape, axis)
		return &launch{0, func(c call) error {
			return kernels.Softmax(c.Queue, c.in[0], c.out, outer, s.out.Shape[axis], inner, logarithm)
		}}
	}
	grad := func(axis int, logarithm bool) *launch {
		outer, inner := shapes.Around(s.out.Shape, axis)
		return &launch{0, func(c call) error {
			return kernels.SoftmaxGrad(c.Queue, c.in[0], c.in[1], c.out, outer, s.out.Shape[axis], inner, logarithm)
		}}
	}
	switch o := s.op.(type) {
	case op.Softmax:
		return forward(o.Axis, false)
	case op.LogSoftmax:
		return forward(o.Axis, true)
	case op.SoftmaxGradient:
		return grad(o.Axis, false)
	case op.LogSoftmaxGradient:
		return grad(o.Axis, true)
	}
	return nil
}
