package lowering

import (
	"errors"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// constantEntries lists the operators whose results are known when the graph is
// read.
func constantEntries() []Entry {
	return []Entry{
		{Name: "Constant", Min: 1, Max: MaxOpset, Lower: lowerConstant, NoGradient: foldedResults},
		{Name: "ConstantOfShape", Min: 9, Max: MaxOpset, Lower: lowerConstantOfShape, NoGradient: foldedResults},
		{Name: "NonZero", Min: 9, Max: MaxOpset, Lower: lowerNonZero, NoGradient: indexResults, Limit: "of constants only"},
		{Name: "Range", Min: 11, Max: MaxOpset, Lower: lowerRange, NoGradient: foldedResults},
		{Name: "Shape", Min: 1, Max: MaxOpset, Lower: lowerShape, NoGradient: foldedResults},
		{Name: "Size", Min: 1, Max: MaxOpset, Lower: lowerSize, NoGradient: foldedResults},
	}
}

// Tensor reads a tensor of the file as a constant. Data that cannot be used where
// they lie count against the budget.
func Tensor(p *op.Program, t *onnx.Tensor) (*op.Value, error) {
	if t == nil { // an attribute of another type
		return nil, errors.New("attribute value is not a tensor")
	}
	if !t.Mapped() {
		if err := p.Reserve(op.Type{DType: t.ValueType(), Shape: t.Shape}); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	a, err := tensorArray(t)
	if err != nil {
		return nil, err
	}
	return p.Constant(a), nil
}

// tensorArray reads a tensor of the file, a quantised one as what it stands for.
// Float data may be a view of the file and must not be changed.
func tensorArray(t *onnx.Tensor) (op.Array, error) {
	a := op.Array{Type: op.Type{DType: t.ValueType(), Shape: t.Shape}}
	var err error
	switch op.ClassOf(a.DType) {
	case op.ClassFloat32:
		a.Data, err = t.Float32s()
	case op.ClassFloat64:
		a.Data, err = t.Float64s()
	case op.ClassInt:
		a.Data, err = t.Int64s()
	case op.ClassBool:
		var ints []int64
		if ints, err = t.Int64s(); err == nil {
			flags := make([]bool, len(ints))
			for i, x := range ints {
				flags[i] = x != 0
			}
			a.Data = flags
		}
	default:
		err = fmt.Errorf("tensor %q has type %v, which is not supported", t.Name, t.DType)
	}
	return a, err
}

// lowerConstant reads the attribute that holds the value.
func lowerConstant(c *Call) ([]*op.Value, error) {
	n := c.Node
	switch {
	case n.Has("value"):
		return one(Tensor(c.Program, n.Tensor("value")))
	case n.Has("value_int"):
		return []*op.Value{c.Constant(op.Ints([]int64{n.Int("value_int", 0)}))}, nil
	case n.Has("value_ints"):
		return []*op.Value{c.Ints(n.Ints("value_ints")...)}, nil
	case n.Has("value_float"):
		return []*op.Value{c.Constant(op.Floats([]float32{n.Float("value_float", 0)}))}, nil
	case n.Has("value_floats"):
		v := n.Floats("value_floats")
		return []*op.Value{c.Constant(op.Floats(v, len(v)))}, nil
	}
	return nil, fmt.Errorf("a constant of attributes %q is not supported", n.Attributes())
}

// lowerConstantOfShape: without a value it is float zeros.
func lowerConstantOfShape(c *Call) ([]*op.Value, error) {
	shape, err := c.knownSizes(0, "shape")
	if err != nil {
		return nil, err
	}
	value := c.Constant(op.Floats([]float32{0}, 1))
	if c.Node.Has("value") {
		if value, err = Tensor(c.Program, c.Node.Tensor("value")); err != nil {
			return nil, err
		}
	}
	if value.Type.Elements() != 1 {
		return nil, fmt.Errorf("expected a value of one element, found %v", value.Type)
	}
	return one(c.Emit(op.Expand{Shape: shape}, c.Constant(value.Const.View(nil))))
}

// lowerShape: opset 15 added start and end.
func lowerShape(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	shape := x.Type.Shape
	clamp := func(i int64) int {
		if i < 0 {
			i += int64(len(shape))
		}
		return int(max(0, min(i, int64(len(shape)))))
	}
	start, end := clamp(c.Node.Int("start", 0)), clamp(c.Node.Int("end", int64(len(shape))))
	dims := []int64{}
	for i := start; i < end; i++ {
		dims = append(dims, int64(shape[i]))
	}
	return []*op.Value{c.Ints(dims...)}, nil
}

func lowerSize(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	return []*op.Value{c.Constant(op.Ints([]int64{int64(x.Type.Elements())}))}, nil
}

// lowerRange: max(⌈(limit − start)/delta⌉, 0) elements start + i·delta.
func lowerRange(c *Call) ([]*op.Value, error) {
	var bounds [3]float64
	t := onnx.Undefined
	for i, what := range []string{"start", "limit", "delta"} {
		v, err := c.knownNumber(i, what)
		if err != nil {
			return nil, err
		}
		bounds[i], t = v.Const.AsFloats()[0], v.Type.DType
	}
	start, delta := bounds[0], bounds[2]
	n := math.Ceil((bounds[1] - start) / delta)
	if delta == 0 || math.IsNaN(n) || n > shapes.MaxElements || op.ClassOf(t) == op.ClassNone {
		return nil, fmt.Errorf("range of %v from %v to %v by %v", t, start, bounds[1], delta)
	}
	out, err := c.NewArray(op.Type{DType: t, Shape: []int{int(max(n, 0))}})
	if err != nil {
		return nil, err
	}
	for i := range out.Elements() {
		out.Set(i, start+float64(i)*delta)
	}
	if d, ok := out.Data.([]float32); ok {
		op.RoundTo(t, d)
	}
	return []*op.Value{c.Constant(out)}, nil
}

// lowerNonZero: the size of the result depends on the elements, so they must be
// known when the graph is read. The coordinates are in row-major order.
func lowerNonZero(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
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
	strides := shapes.RowMajor(x.Type.Shape)
	out, err := c.NewArray(op.Type{DType: onnx.Int64, Shape: []int{len(strides), len(places)}})
	if err != nil {
		return nil, err
	}
	for d, stride := range strides {
		for k, at := range places {
			op.Elem[int64](out)[d*len(places)+k] = at / int64(stride) % int64(x.Type.Shape[d])
		}
	}
	return []*op.Value{c.Constant(out)}, nil
}
