//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// unary serves the functions of one input, the activations among them, and their
// gradients.
func unary(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	n := s.out.Elements()
	if _, ok := s.op.(op.Zero); ok {
		return &launch{0, func(c call) error { return c.Clear(c.out.Data, c.out.Bytes(n)) }}
	}
	if g, ok := s.op.(op.PointwiseGradient); ok {
		f, a, b := functionOf(g.Of)
		if f == "" {
			return nil
		}
		return &launch{0, func(c call) error { return kernels.UnaryGrad(c.Queue, f, c.in[0], c.in[1], c.out, n, a, b) }}
	}
	f, a, b := functionOf(s.op)
	if f == "" {
		return nil
	}
	return &launch{0, func(c call) error { return kernels.Unary(c.Queue, f, c.in[0], c.out, n, a, b) }}
}

// functionOf returns the kernels' name of a function and its parameters, "" for
// one that they do not have.
func functionOf(o op.Op) (f kernels.Function, a, b float32) {
	switch o := o.(type) {
	case op.Neg:
		return kernels.Neg, 0, 0
	case op.Abs:
		return kernels.Abs, 0, 0
	case op.Sign:
		return kernels.Sign, 0, 0
	case op.Round:
		return [...]kernels.Function{kernels.Round, kernels.Floor, kernels.Ceil}[o.To], 0, 0
	case op.Sqrt:
		return kernels.Sqrt, 0, 0
	case op.Reciprocal:
		return kernels.Reciprocal, 0, 0
	case op.Exp:
		return kernels.Exp, 0, 0
	case op.Log:
		return kernels.Log, 0, 0
	case op.Erf:
		return kernels.Erf, 0, 0
	case op.Relu:
		return kernels.Relu, 0, 0
	case op.LeakyRelu:
		return kernels.LeakyRelu, float32(o.Alpha), 0
	case op.Elu:
		return kernels.Elu, float32(o.Alpha), 0
	case op.Sigmoid:
		return kernels.Sigmoid, 0, 0
	case op.Tanh:
		return kernels.Tanh, 0, 0
	case op.Softplus:
		return kernels.Softplus, 0, 0
	case op.HardSigmoid:
		return kernels.HardSigmoid, float32(o.Alpha), float32(o.Beta)
	case op.GELU:
		if o.Tanh {
			return kernels.GELUTanh, 0, 0
		}
		return kernels.GELU, 0, 0
	case op.QuickGELU:
		return kernels.QuickGELU, float32(o.Alpha), 0
	case op.Clip:
		return kernels.Clip, float32(o.Min), float32(o.Max)
	}
	return "", 0, 0
}
