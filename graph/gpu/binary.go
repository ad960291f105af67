//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// binary serves arithmetic with two operands, broadcast.
func binary(s site) *launch {
	f := operatorOf(s.op)
	if f == "" || !s.allFloats() || !broadcasts(s.out.Shape, s.in[0].Shape, s.in[1].Shape) {
		return nil
	}
	return &launch{0, func(c call) error {
		return kernels.Binary(c.Queue, f, c.in[0], s.in[0].Shape, c.in[1], s.in[1].Shape, c.out, s.out.Shape)
	}}
}

func operatorOf(o op.Op) kernels.Operator {
	switch o := o.(type) {
	case op.Add:
		return kernels.Add
	case op.Sub:
		return kernels.Sub
	case op.Mul:
		return kernels.Mul
	case op.Div:
		return kernels.Div
	case op.Pow:
		return kernels.Pow
	case op.PowGradient:
		if o.Exponent {
			return kernels.PowByExponent
		}
		return kernels.PowByBase
	case op.Max:
		return kernels.Max
	case op.Min:
		return kernels.Min
	}
	return ""
}
