package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func oneHotEntries() []Entry {
	return []Entry{{Name: "OneHot", Min: 9, Max: MaxOpset, Lower: lowerFormula(oneHot)}}
}

// maxDepth bounds the depth of a OneHot: above it the number is a mistake.
const maxDepth = 1 << 20

// oneHot: (indices, depth, [off, on]) → on where a position along the new axis
// is the index, else off. Negative indices count from the end; those outside
// the depth are nowhere.
func oneHot(e *emitter) *op.Value {
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
		e.fail("depth %d is out of range", n)
		return nil
	}
	if values.Type.Rank() != 1 || values.Type.Shape[0] != 2 {
		e.fail("expected the values off and on (input 2), found %v", values.Type)
		return nil
	}
	axis := e.axis(-1, indices.Type.Rank()+1)
	if indices.Type.DType != onnx.Int64 {
		indices = e.emit(op.Cast{To: onnx.Int64}, indices)
	}
	count := e.Ints(n)
	indices = e.emit(op.Where{}, e.emit(op.Less{}, indices, e.Ints(0)), e.emit(op.Add{}, indices, count), indices)
	if e.err != nil {
		return nil
	}
	// Where broadcasts rank 0 to [1]: the shape is that of the input.
	shape := e.In[0].Type.Shape
	indices = e.view(indices, shape[:axis], []int{1}, shape[axis:])
	places := e.array(op.Type{DType: onnx.Int64, Shape: []int{int(n)}})
	if e.err != nil {
		return nil
	}
	for i := range n {
		op.Elem[int64](places)[i] = i
	}
	along := e.view(e.Constant(places), []int{int(n)}, shapes.Ones(len(shape)-axis))
	return e.emit(op.Where{}, e.emit(op.Equal{}, indices, along), e.view(e.part(values, 0, 1, 1)), e.view(e.part(values, 0, 0, 1)))
}
