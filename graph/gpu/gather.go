//go:build gpu && linux && cgo

package gpu

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// gather serves Gather and its gradient.
func gather(s site) *launch {
	if !floats(s.out) || len(s.in) == 0 || !floats(s.in[0]) || max(s.in[0].Elements(), s.out.Elements()) > math.MaxInt32 {
		return nil
	}
	switch o := s.op.(type) {
	case op.Gather:
		shape := s.in[0].Shape
		outer, inner := shapes.Around(shape, o.Axis)
		size, count := shape[o.Axis], s.in[1].Elements()
		return &launch{0, func(c call) error {
			return kernels.Gather(c.Queue, c.in[0], c.in[1].Data, c.out, outer, size, inner, count)
		}}
	case op.GatherGradient:
		outer, inner := shapes.Around(o.Shape, o.Axis)
		size, count := o.Shape[o.Axis], s.in[1].Elements()
		return &launch{0, func(c call) error {
			return kernels.GatherGrad(c.Queue, c.in[0], c.in[1].Data, c.out, outer, size, inner, count)
		}}
	}
	return nil
}
