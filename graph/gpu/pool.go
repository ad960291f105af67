//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// pooling serves MaxPool, AveragePool and their gradients.
func pooling(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	window := func(o op.PoolWindow, x, y []int) (kernels.Window, int) {
		return newWindow(x, y, o.Kernel, o.Strides, o.Dilations, o.Pads), x[0] * x[1]
	}
	switch o := s.op.(type) {
	case op.MaxPool:
		w, planes := window(o.PoolWindow, s.in[0].Shape, s.out.Shape)
		return &launch{0, func(c call) error { return kernels.MaxPool(c.Queue, w, c.in[0].Data, c.out.Data, planes) }}
	case op.MaxPoolGradient:
		w, planes := window(o.PoolWindow, s.in[0].Shape, s.in[1].Shape)
		return &launch{0, func(c call) error {
			return kernels.MaxPoolGrad(c.Queue, w, c.in[0].Data, c.in[1].Data, c.in[2].Data, c.out.Data, planes)
		}}
	case op.AveragePool:
		if o.ByColumns { // an order of sums that the kernel does not have
			return nil
		}
		w, planes := window(o.PoolWindow, s.in[0].Shape, s.out.Shape)
		return &launch{0, func(c call) error {
			return kernels.AveragePool(c.Queue, w, o.CountPads, c.in[0].Data, c.out.Data, planes)
		}}
	case op.AveragePoolGradient:
		w, planes := window(o.Pool.PoolWindow, o.Shape, s.in[0].Shape)
		return &launch{0, func(c call) error {
			return kernels.AveragePoolGrad(c.Queue, w, o.Pool.CountPads, c.in[0].Data, c.out.Data, planes)
		}}
	}
	return nil
}
