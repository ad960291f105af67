package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// classical is the domain of operators of classical machine learning. scikit-learn's
// converter writes those that are here around a network.
const classical = "ai.onnx.ml"

func classicalEntries() []Entry {
	const max = 5
	return []Entry{
		{Domain: classical, Name: "Scaler", Min: 1, Max: max, Lower: lowerScaler},
		// A map from class to score for each image: the scores, in the order of the classes.
		{Domain: classical, Name: "ZipMap", Min: 1, Max: max, Lower: lowerIdentity},
	}
}

// lowerScaler lowers (x − offset)·scale, each of them one number or one for each
// feature, which are the last dimension.
func lowerScaler(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	e := &emitter{Call: c}
	if op.ClassOf(x.Type.DType) == op.ClassInt {
		if x = e.emit(op.Cast{To: onnx.Float}, x); e.err != nil {
			return nil, e.err
		}
	}
	for _, step := range []struct {
		attribute string
		op        op.Op
	}{{"offset", op.Sub{}}, {"scale", op.Mul{}}} {
		numbers := c.Node.Floats(step.attribute)
		if len(numbers) == 0 {
			continue // 0 or 1
		}
		by := e.array(op.Type{DType: x.Type.DType, Shape: []int{len(numbers)}})
		if e.err != nil {
			return nil, e.err
		}
		for i, v := range numbers {
			by.Set(i, float64(v))
		}
		scaled := e.emit(step.op, x, c.Constant(by))
		if e.err != nil || !slices.Equal(scaled.Type.Shape, x.Type.Shape) { // neither one number nor one for each
			return nil, fmt.Errorf("%d numbers in attribute %s for features %v", len(numbers), step.attribute, x.Type)
		}
		x = scaled
	}
	return []*op.Value{x}, nil
}
