//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// logic serves comparisons, selections, and conversions to and from truth values.
func logic(s site) *launch {
	switch o := s.op.(type) {
	case op.Equal:
		return compare(s, kernels.Equal, 0, 1)
	case op.Less:
		return compare(s, kernels.Less, 0, 1)
	case op.LessOrEqual:
		return compare(s, kernels.LessOrEqual, 0, 1)
	case op.Greater:
		return compare(s, kernels.Less, 1, 0)
	case op.GreaterOrEqual:
		return compare(s, kernels.LessOrEqual, 1, 0)
	case op.Where:
		if !floats(s.in[1:]...) || !broadcasts(s.out.Shape, s.in[0].Shape, s.in[1].Shape, s.in[2].Shape) {
			return nil
		}
		return &launch{0, func(c call) error {
			return kernels.Select(c.Queue, c.in[0].Data, s.in[0].Shape, c.in[1].Data, s.in[1].Shape, c.in[2].Data, s.in[2].Shape, c.out.Data, s.out.Shape)
		}}
	case op.Mask:
		return mask(s, o)
	case op.IsNaN:
		if !floats(s.in...) {
			return nil
		}
		return &launch{0, func(c call) error { return kernels.IsNaN(c.Queue, c.in[0].Data, c.out.Data, s.out.Elements()) }}
	case op.Cast:
		return cast(s)
	}
	return nil
}

// compare compares operand a with b.
func compare(s site, f kernels.Comparison, a, b int) *launch {
	if !floats(s.in...) || !broadcasts(s.out.Shape, s.in[0].Shape, s.in[1].Shape) {
		return nil
	}
	return &launch{0, func(c call) error {
		return kernels.Compare(c.Queue, f, c.in[a].Data, s.in[a].Shape, c.in[b].Data, s.in[b].Shape, c.out.Data, s.out.Shape)
	}}
}

func mask(s site, o op.Mask) *launch {
	shape := s.out.Shape
	if !floats(s.in[1]) || !broadcasts(shape, s.in[0].Shape, shape) {
		return nil
	}
	return &launch{0, func(c call) error {
		choices := [2]driver.Ptr{c.in[1].Data, 0}
		if o.Not {
			choices = [2]driver.Ptr{0, c.in[1].Data}
		}
		return kernels.Select(c.Queue, c.in[0].Data, s.in[0].Shape, choices[0], shape, choices[1], shape, c.out.Data, shape)
	}}
}

// cast serves conversions to FLOAT that round nothing.
func cast(s site) *launch {
	n := s.out.Elements()
	switch {
	case s.out.DType != onnx.Float:
		return nil
	case floats(s.in...):
		return &launch{0, func(c call) error { return c.Copy(c.out.Data, c.in[0].Data, int64(floatBytes*n)) }}
	case s.in[0].DType == onnx.Bool:
		return &launch{0, func(c call) error { return kernels.FromBool(c.Queue, c.in[0].Data, c.out.Data, n) }}
	}
	return nil
}
