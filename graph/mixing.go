package graph

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// mixing lists the steps that combine the images of a batch, as a normalisation by the
// statistics of the batch does: what they give for one image depends on the others, so
// that a network has no logits of an image. They combine along a dimension whose size is
// a multiple of the batch, which other, the same network at another batch, tells from
// those that only happen to be.
func (n *Network) mixing(other *Network) []onnx.Unsupported {
	if len(other.steps) != len(n.steps) {
		return nil
	}
	var list []onnx.Unsupported
	for i, s := range n.steps {
		if !s.Out.OnDataPath || s.Node == nil {
			continue
		}
		for _, axis := range combined(s) {
			here, there := s.In[0].Type.Shape, other.steps[i].In[0].Type.Shape
			if len(here) != len(there) || here[axis] == there[axis] || here[axis]*other.Batch != there[axis]*n.Batch {
				continue
			}
			list = append(list, s.Node.Unsupported(fmt.Sprintf("%s combines the images of a batch (dimension %d of %v), so that the scores of one depend on the others", s.Op.Name(), axis, s.In[0].Type)))
			break
		}
	}
	return list
}

// combined returns the axes of its first operand along which a step makes one number of
// several, or compares them.
func combined(s *op.Step) []int {
	rank := s.In[0].Type.Rank()
	from := func(axis int) (axes []int) {
		for ; axis < rank; axis++ {
			axes = append(axes, axis)
		}
		return axes
	}
	switch o := s.Op.(type) {
	case op.Reduce:
		if asksForFinite(s.In[0]) {
			return nil
		}
		return o.Axes
	case op.Softmax:
		return []int{o.Axis}
	case op.LogSoftmax:
		return []int{o.Axis}
	case op.CumSum:
		return []int{o.Axis}
	case op.TopK:
		return []int{o.Axis}
	case op.LayerNormalization:
		return from(o.Axis)
	case op.RMSNormalization:
		return from(o.Axis)
	case op.MatMul:
		if o.TransA {
			return []int{rank - 2}
		}
		return []int{rank - 1}
	}
	return nil
}

// asksForFinite reports whether a value says which elements are not finite. A guard against
// overflow asks that of all images together.
func asksForFinite(v *op.Value) bool {
	for s := v.Step; s != nil; s = s.In[0].Step {
		switch s.Op.(type) {
		case op.IsNaN, op.IsInf:
			return true
		case op.Cast, op.And, op.Or, op.Not:
		default:
			return false
		}
	}
	return false
}
