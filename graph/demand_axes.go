package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// rowAxes returns, for each input of a step, the axis along which its rows are
// those of the result along the given axis, or -1 where a row of the result may
// depend on all of the input. ok is false where the operation does not compute
// rows along the axis each from its own, or is not known to.
func rowAxes(s *op.Step, axis int) (axes []int, ok bool) {
	out := s.Out.Type.Shape
	axes = make([]int, len(s.In))
	for i := range axes {
		axes[i] = -1
	}
	switch o := s.Op.(type) {
	case op.Relu, op.LeakyRelu, op.Elu, op.Sigmoid, op.Tanh, op.Softplus, op.HardSigmoid, op.GELU, op.QuickGELU, op.Clip,
		op.Neg, op.Abs, op.Sign, op.Round, op.Sqrt, op.Reciprocal, op.Exp, op.Log, op.Sin, op.Cos, op.Erf, op.IsNaN, op.IsInf,
		op.Not, op.Cast, op.Relabel:
		axes[0] = axis
	case op.Add, op.Sub, op.Mul, op.Div, op.Pow, op.Max, op.Min, op.Mod, op.Where,
		op.Equal, op.Less, op.LessOrEqual, op.Greater, op.GreaterOrEqual, op.And, op.Or, op.Xor, op.Expand:
		for i, v := range s.In {
			axes[i] = broadcastAxis(v, out, axis)
		}
	case op.Linear:
		axes[0] = axis
		ok = axis < len(out)-1
		return axes, ok
	case op.MatMul:
		productAxes(s, o, axis, axes)
	case op.LayerNormalization:
		axes[0] = axis
		return axes, axis < o.Axis
	case op.RMSNormalization:
		axes[0] = axis
		return axes, axis < o.Axis
	case op.Softmax:
		axes[0] = axis
		return axes, axis != o.Axis
	case op.LogSoftmax:
		axes[0] = axis
		return axes, axis != o.Axis
	case op.Concat:
		for i := range axes {
			axes[i] = axis
		}
		return axes, axis != o.Axis
	case op.Transpose:
		axes[0] = o.Perm[axis]
	case op.Reshape:
		axes[0] = reshapedAxis(s.In[0].Type.Shape, out, axis)
		return axes, axes[0] >= 0
	case op.Slice:
		axes[0] = axis
		return axes, o.Sizes[axis] == s.In[0].Type.Shape[axis] && o.Steps[axis] == 1
	case op.Gather:
		rank := s.In[1].Type.Rank()
		switch {
		case axis < o.Axis:
			axes[0] = axis
		case axis >= o.Axis+rank:
			axes[0] = axis - rank + 1
		}
		return axes, axes[0] >= 0
	case op.Reduce:
		axes[0] = keptAxis(o, axis, s.In[0].Type.Rank())
		return axes, axes[0] >= 0
	case op.PackedAttention:
		if len(s.In) == 3 {
			axes[0] = 1
		} // else queries, keys and values are taken apart first, and of the latter all rows are read
		return axes, axis == 1
	default:
		return nil, false
	}
	return axes, true
}

// broadcastAxis is the axis of an input that is broadcast along an axis of the
// result, -1 where the input is repeated along it.
func broadcastAxis(v *op.Value, out []int, axis int) int {
	at := axis - (len(out) - v.Type.Rank())
	if at < 0 || v.Type.Shape[at] != out[axis] {
		return -1
	}
	return at
}

// productAxes sets the axes of a product of stacks of matrices: rows of the
// result are those of the first, columns those of the second.
func productAxes(s *op.Step, o op.MatMul, axis int, axes []int) {
	out := s.Out.Type.Shape
	a, b := s.In[0].Type.Rank(), s.In[1].Type.Rank()
	switch axis {
	case len(out) - 2:
		axes[0] = a - 2
		if o.TransA {
			axes[0] = a - 1
		}
	case len(out) - 1:
		axes[1] = b - 1
		if o.TransB {
			axes[1] = b - 2
		}
	default:
		for i, v := range s.In {
			axes[i] = broadcastAxis(v, out, axis)
		}
	}
}

// reshapedAxis is the axis of the input of a Reshape that it leaves alone as the
// given axis of the result, -1 if there is none.
func reshapedAxis(in, out []int, axis int) int {
	before := 1
	for _, d := range out[:axis] {
		before *= d
	}
	product := 1
	for i, d := range in {
		if product == before && d == out[axis] {
			return i
		}
		product *= d
	}
	return -1
}

// keptAxis is the axis of the input of a reduction that is the given axis of its
// result, -1 where that one is reduced.
func keptAxis(o op.Reduce, axis, rank int) int {
	at := 0
	for i := range rank {
		reduced := slices.Contains(o.Axes, i)
		if at == axis && (!reduced || o.KeepDims) {
			if reduced {
				return -1
			}
			return i
		}
		if !reduced || o.KeepDims {
			at++
		}
	}
	return -1
}

// resized is the operation of a step whose result has the wanted rows only.
func resized(s *op.Step, want rows) op.Op {
	shape := resultShape(s, &want)
	switch o := s.Op.(type) {
	case op.Reshape:
		return op.Reshape{Shape: shape}
	case op.Expand:
		return op.Expand{Shape: shape}
	case op.Slice:
		return op.Slice{Starts: slices.Clone(o.Starts), Sizes: shape, Steps: slices.Clone(o.Steps)}
	}
	return s.Op
}
