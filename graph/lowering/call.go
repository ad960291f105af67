package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Call is one ONNX node being lowered.
type Call struct {
	*op.Program
	Node  *onnx.Node
	Opset int64       // version of the node's domain that the model imports
	In    []*op.Value // the node's inputs in order, nil where absent
	Batch int         // images that the network is bound to; 0 where there are none
	// Factor is the scale of the node's weight where other nodes multiply by it (see
	// [onnx.Quantization]); nil elsewhere.
	Factor []float32
}

// arg returns input i, or nil where the node has no such input.
func (c *Call) arg(i int) *op.Value {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

// need returns input i or an error that says it is missing.
func (c *Call) need(i int) (*op.Value, error) {
	if v := c.arg(i); v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("input %d is missing", i)
}

// inputs returns the first n inputs, or an error that says which is missing.
func (c *Call) inputs(n int) ([]*op.Value, error) {
	in := make([]*op.Value, n)
	for i := range in {
		var err error
		if in[i], err = c.need(i); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// wants reports whether output i of the node is used.
func (c *Call) wants(i int) bool { return i < len(c.Node.Outputs) && c.Node.Outputs[i] != "" }

// along returns input 0 and the axis of it that the attribute axis names, def
// where it is absent.
func (c *Call) along(def int64) (x *op.Value, axis int, err error) {
	if x, err = c.need(0); err != nil {
		return nil, 0, err
	}
	axis, err = shapes.Axis(c.Node.Int("axis", def), x.Type.Rank())
	return x, axis, err
}

// attribute returns a float attribute; ONNX holds it in single precision.
func (c *Call) attribute(name string, def float32) float64 {
	return float64(c.Node.Float(name, def))
}

// known returns input i, which must be a constant; nil where it is absent. what
// names it in the error.
func (c *Call) known(i int, what string) (*op.Array, error) {
	v := c.arg(i)
	if v == nil {
		return nil, nil
	}
	if v.Const == nil {
		return nil, fmt.Errorf("%s (input %d) must be known when the graph is read, but depends on the image or on a weight", what, i)
	}
	return v.Const, nil
}

// knownInts is [Call.known] for the elements of an integer type.
func (c *Call) knownInts(i int, what string) ([]int64, error) {
	a, err := c.known(i, what)
	if a == nil {
		return nil, err
	}
	ints, ok := a.AsInts()
	if !ok {
		return nil, fmt.Errorf("%s (input %d) must be integers, found %v", what, i, a.Type)
	}
	return ints, nil
}

// knownFloats is [Call.known] for elements of any type; nil, too, where the input
// is empty, which is how it was left out before opset 13.
func (c *Call) knownFloats(i int, what string) ([]float64, error) {
	if v := c.arg(i); v != nil && v.Type.Elements() == 0 {
		return nil, nil
	}
	a, err := c.known(i, what)
	if a == nil {
		return nil, err
	}
	return a.AsFloats(), nil
}

// knownSizes is [Call.knownInts] for the sizes of dimensions.
func (c *Call) knownSizes(i int, what string) ([]int, error) {
	given, err := c.knownInts(i, what)
	if err != nil {
		return nil, err
	}
	return shapes.Sizes(given)
}

// intsFrom returns integers that older opsets hold in the attribute and newer
// ones in input i; nil where neither is present.
func (c *Call) intsFrom(attribute string, i int) ([]int64, error) {
	if c.Node.Has(attribute) {
		return c.Node.Ints(attribute), nil
	}
	return c.knownInts(i, attribute)
}

// withInts returns input 0, which must be there, and the integers of an
// attribute that newer opsets take from input 1.
func (c *Call) withInts(attribute string) (x *op.Value, ints []int64, err error) {
	if x, err = c.need(0); err != nil {
		return nil, nil, err
	}
	ints, err = c.intsFrom(attribute, 1)
	return x, ints, err
}

// knownNumber returns input i, which must be a constant of one element. what
// names it in the error.
func (c *Call) knownNumber(i int, what string) (*op.Value, error) {
	v, err := c.need(i)
	if err == nil && (v.Const == nil || v.Type.Elements() != 1) {
		err = fmt.Errorf("%s (input %d) must be one known number, found %v", what, i, v.Type)
	}
	return v, err
}

// count returns 0, 1, … below n: all axes of a value of rank n.
func count(n int) []int64 {
	v := make([]int64, n)
	for i := range v {
		v[i] = int64(i)
	}
	return v
}

// scalar is a known number of the element type of like, to be broadcast.
func (c *Call) scalar(like *op.Value, v float64) *op.Value {
	a := op.NewArray(op.Type{DType: like.Type.DType, Shape: []int{}})
	a.Set(0, v)
	return c.Constant(a)
}
