//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// loss serves Loss and its gradient.
func loss(s site) *launch {
	if !floats(s.out) {
		return nil
	}
	switch o := s.op.(type) {
	case op.Loss:
		kind, parameter, ok := lossKind(o.Of)
		if !ok {
			return nil
		}
		examples, classes := s.in[0].Shape[0], s.in[0].Shape[1]
		return &launch{0, func(c call) error {
			return kernels.Loss(c.Queue, kind, parameter, c.in[0].Data, c.in[1].Data, c.in[2].Data, c.out.Data, examples, classes)
		}}
	case op.LossGradient:
		kind, parameter, ok := lossKind(o.Of)
		if !ok {
			return nil
		}
		examples, classes := s.in[0].Shape[0], s.in[0].Shape[1]
		return &launch{0, func(c call) error {
			return kernels.LossGrad(c.Queue, kind, parameter, c.in[0].Data, c.in[1].Data, c.in[2].Data, c.in[3].Data, c.out.Data, examples, classes)
		}}
	}
	return nil
}

func lossKind(of op.ExampleLoss) (kind kernels.LossKind, parameter float64, ok bool) {
	switch of := of.(type) {
	case op.CrossEntropy:
		return kernels.CrossEntropy, 0, true
	case op.LabelSmoothing:
		return kernels.LabelSmoothing, of.Epsilon, true
	case op.Focal:
		return kernels.Focal, of.Gamma, true
	case op.Margin:
		return kernels.Margin, 0, true
	case op.SoftZeroOne:
		return kernels.SoftZeroOne, of.Weight, true
	}
	return 0, 0, false
}
