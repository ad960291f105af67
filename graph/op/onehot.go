package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx"
)

func oneHotEntries() []Entry {
	return []Entry{
		{Name: "OneHot", Min: 9, Max: MaxOpset, Lower: lowerFormula(oneHot)},
		{Name: "NonZero", Min: 9, Max: MaxOpset, Lower: lowerNonZero},
	}
}

// maxDepth bounds the depth of a OneHot: above it the number is a mistake.
const maxDepth = 1 << 20

// oneHot: (indices, depth, [off, on]) → on where a position along the new axis
// is the index, else off. Negative indices count from the end; those outside
// the depth are nowhere.
func oneHot(e *emitter) *Value {
	indices, values := e.input(0), e.input(2)
	if e.err != nil {
		return nil
	}
	depth, err := e.knownNumber(1, "depth")
	if err != nil {
		e.err = err
		return nil
	}
	n := int64(depth.Const.AsFloats()[0])
	if n < 1 || n > maxDepth {
		e.err = fmt.Errorf("depth %d is out of range", n)
		return nil
	}
	if values.Type.Rank() != 1 || values.Type.Shape[0] != 2 {
		e.err = fmt.Errorf("expected the values off and on (input 2), found %v", values.Type)
		return nil
	}
	axis, err := resolveAxis(e.Node.Int("axis", -1), indices.Type.Rank()+1)
	if err != nil {
		e.err = err
		return nil
	}
	if indices.Type.DType != onnx.Int64 {
		indices = e.emit(Cast{onnx.Int64}, indices)
	}
	count := e.Ints(n)
	indices = e.emit(Where{}, e.emit(Less{}, indices, e.Ints(0)), e.emit(Add{}, indices, count), indices)
	if e.err != nil {
		return nil
	}
	// Where broadcasts rank 0 to [1]: the shape is that of the input.
	shape := e.In[0].Type.Shape
	indices = e.view(indices, shape[:axis], []int{1}, shape[axis:])
	places := e.array(Type{onnx.Int64, []int{int(n)}})
	if e.err != nil {
		return nil
	}
	for i := range n {
		Elem[int64](places)[i] = i
	}
	along := e.view(e.Constant(places), []int{int(n)}, ones(len(shape)-axis))
	return e.emit(Where{}, e.emit(Equal{}, indices, along), e.view(e.part(values, 0, 1, 1)), e.view(e.part(values, 0, 0, 1)))
}

// ones is the shape of n dimensions of size 1.
func ones(n int) []int {
	shape := make([]int, n)
	for i := range shape {
		shape[i] = 1
	}
	return shape
}

// lowerNonZero: the size of the result depends on the elements, so they must be
// known when the graph is read. The coordinates are in row-major order.
func lowerNonZero(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	if x.Const == nil {
		return nil, fmt.Errorf("the size of the result depends on the elements of input 0, which are not known when the graph is read")
	}
	var places []int64
	for i, v := range x.Const.AsFloats() {
		if v != 0 {
			places = append(places, int64(i))
		}
	}
	strides := rowMajor(x.Type.Shape)
	out, err := c.NewArray(Type{onnx.Int64, []int{len(strides), len(places)}})
	if err != nil {
		return nil, err
	}
	for d, stride := range strides {
		for k, at := range places {
			Elem[int64](out)[d*len(places)+k] = at / int64(stride) % int64(x.Type.Shape[d])
		}
	}
	return []*Value{c.Constant(out)}, nil
}
