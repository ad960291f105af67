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
		for _, c := range combined(s) {
			here, there := s.In[c.input].Type.Shape, other.steps[i].In[c.input].Type.Shape
			if len(here) != len(there) || here[c.axis] == there[c.axis] || here[c.axis]*other.Batch != there[c.axis]*n.Batch {
				continue
			}
			list = append(list, s.Node.Unsupported(fmt.Sprintf("%s combines the images of a batch (dimension %d of %v), so that the scores of one depend on the others", s.Op.Name(), c.axis, s.In[c.input].Type)))
			break
		}
	}
	return list
}

// dimension is one of an operand.
type dimension struct{ input, axis int }

// combined returns the dimensions along which a step makes one number of several, or
// compares them.
func combined(s *op.Step) []dimension {
	from := func(axis int) (dims []dimension) {
		for a := axis; a < s.In[0].Type.Rank(); a++ {
			dims = append(dims, dimension{0, a})
		}
		return dims
	}
	switch o := s.Op.(type) {
	case op.Reduce:
		if asksForFinite(s.In[0]) {
			return nil
		}
		dims := make([]dimension, len(o.Axes))
		for i, axis := range o.Axes {
			dims[i].axis = axis
		}
		return dims
	case op.Softmax:
		return []dimension{{0, o.Axis}}
	case op.LogSoftmax:
		return []dimension{{0, o.Axis}}
	case op.CumSum:
		return []dimension{{0, o.Axis}}
	case op.TopK:
		return []dimension{{0, o.Axis}}
	case op.LayerNormalization:
		return from(o.Axis)
	case op.RMSNormalization:
		return from(o.Axis)
	case op.MatMul:
		inner := s.In[0].Type.Rank() - 1
		if o.TransA {
			inner--
		}
		return []dimension{{0, inner}}
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
