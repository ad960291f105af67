//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// normalization serves LayerNormalization, RMSNormalization, BatchNormalization
// and their gradients.
func normalization(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	switch o := s.op.(type) {
	case op.LayerNormalization:
		return normalize(s, kernels.Moments{Epsilon: o.Epsilon, Centred: true}, o.Axis)
	case op.RMSNormalization:
		return normalize(s, kernels.Moments{Epsilon: o.Epsilon}, o.Axis)
	case op.NormalizationGradient:
		return normalizeGrad(s, o)
	case op.BatchNormalization:
		if s.isBFloat16(1, 2, 3, 4) {
			return nil
		}
		images, channels, area := planes(s.in[0].Shape)
		return &launch{kernels.BatchNormWork(channels), func(c call) error {
			return kernels.BatchNorm(c.Queue, c.in[0], c.in[1].Data, c.in[2].Data, c.in[3].Data, c.in[4].Data, c.out, images, channels, area, o.Epsilon, c.work)
		}}
	case op.BatchNormGradient:
		return batchNormGrad(s, o)
	}
	return nil
}

// planes splits the shape of an array [N, C, ...].
func planes(shape []int) (images, channels, area int) {
	return shape[0], shape[1], shapes.Elements(shape[2:])
}

// rowsFrom splits a shape into rows at an axis.
func rowsFrom(shape []int, axis int) (rows, d int) {
	return shapes.Elements(shape[:axis]), shapes.Elements(shape[axis:])
}

// normalize serves those of rows, whose parameters, as all here, are float32.
func normalize(s site, m kernels.Moments, axis int) *launch {
	if s.isBFloat16(1, 2) {
		return nil
	}
	rows, d := rowsFrom(s.out.Shape, axis)
	return &launch{0, func(c call) error {
		return kernels.Normalize(c.Queue, m, c.in[0], c.in[1].Data, c.optional(2), c.out, rows, d)
	}}
}

func normalizeGrad(s site, o op.NormalizationGradient) *launch {
	if s.isBFloat16(1) {
		return nil
	}
	m := kernels.Moments{Epsilon: o.Epsilon, Centred: o.Centred}
	rows, d := rowsFrom(s.in[0].Shape, o.Axis)
	if o.Scale {
		return &launch{kernels.NormalizeScaleGradWork(rows, d), func(c call) error {
			return kernels.NormalizeScaleGrad(c.Queue, m, c.in[0], c.in[2], c.out, rows, d, c.work)
		}}
	}
	return &launch{0, func(c call) error {
		return kernels.NormalizeGrad(c.Queue, m, c.in[0], c.in[1].Data, c.in[2], c.out, rows, d)
	}}
}

func batchNormGrad(s site, o op.BatchNormGradient) *launch {
	if s.isBFloat16(1, 2, 3) || o.Input != 0 && s.outBFloat16 {
		return nil
	}
	images, channels, area := planes(s.in[0].Shape)
	if o.Input == 0 {
		return &launch{kernels.BatchNormWork(channels), func(c call) error {
			return kernels.BatchNormInputGrad(c.Queue, c.in[1].Data, c.in[3].Data, c.in[4], c.out, images, channels, area, o.Epsilon, c.work)
		}}
	}
	return &launch{kernels.BatchNormParameterGradsWork(images, channels), func(c call) error {
		var grads [5]driver.Ptr
		grads[o.Input] = c.out.Data
		return kernels.BatchNormParameterGrads(c.Queue, c.in[0], c.in[1].Data, c.in[2].Data, c.in[3].Data, c.in[4],
			grads[1], grads[2], grads[3], grads[4], images, channels, area, o.Epsilon, c.work)
	}}
}
