package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// Storing says what becomes of a weight when a treated model is written.
type Storing struct {
	// Moved says that the weight leaves its external file, which is not written
	// to, for the model's own. All others are stored where they lie.
	Moved bool
	// Rounded is what new values are rounded to: a type such as FLOAT16, or the
	// grid of a quantised weight. It is "" where they are stored as they are.
	Rounded string
	// Dequantized is the type that [onnx.Edits.Dequantize] stores a quantised
	// weight in instead; Undefined for the others.
	Dequantized onnx.DType
	// Shared says that the weight serves other places, too, so that it is not
	// trained unless that is wanted, or it is untied first: see [Network.Shared].
	Shared bool
}

// Storing returns what becomes of a weight, by its index.
func (n *Network) Storing(weight int) Storing {
	t := n.Weights[weight].Tensor
	s := Storing{Moved: t.Storage == onnx.StorageExternal, Shared: n.Shared(weight) != nil}
	switch q := t.Quantization(); {
	case q != nil:
		s.Rounded = q.String()
		if q.Apart() {
			s.Dequantized = t.ValueType()
		}
	case t.DType != onnx.Float && t.DType != onnx.Double:
		s.Rounded = t.DType.String()
	}
	return s
}

// Sharers names the other places that a weight serves, by its index: parameters,
// or nodes where a use has no name. It is empty for a weight that serves one
// place.
func (n *Network) Sharers(weight int) []string {
	uses, own := n.Shared(weight), n.Weights[weight].Name
	// The weight's own place is the use of its name, or else the first without any.
	found := slices.ContainsFunc(uses, func(u onnx.Use) bool { return u.Path == own })
	var sharers []string
	for _, u := range uses {
		place := u.Path
		if place == "" {
			if !found {
				found = true
				continue
			}
			place = u.Node.Label()
		}
		if place != own && !slices.Contains(sharers, place) {
			sharers = append(sharers, place)
		}
	}
	return sharers
}
