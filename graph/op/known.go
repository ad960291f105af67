package op

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// knownEntries lists the operators whose results are known when the graph is
// read.
func knownEntries() []Entry {
	return []Entry{
		{Name: "Constant", Min: 1, Max: MaxOpset, Lower: lowerConstant},
		{Name: "ConstantOfShape", Min: 9, Max: MaxOpset, Lower: lowerConstantOfShape},
		{Name: "Shape", Min: 1, Max: MaxOpset, Lower: lowerShape},
		{Name: "Size", Min: 1, Max: MaxOpset, Lower: lowerSize},
		{Name: "Range", Min: 11, Max: MaxOpset, Lower: lowerRange},
	}
}

// TensorArray reads a tensor of the file, a quantised one as what it stands for.
// Float data may be a view of the file and must not be changed.
func TensorArray(t *onnx.Tensor) (Array, error) {
	a := Array{Type: Type{DType: t.ValueType(), Shape: t.Shape}}
	var err error
	switch ClassOf(a.DType) {
	case ClassFloat32:
		a.Data, err = t.Float32s()
	case ClassFloat64:
		a.Data, err = t.Float64s()
	case ClassInt:
		a.Data, err = t.Int64s()
	case ClassBool:
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
func lowerConstant(c *Call) ([]*Value, error) {
	n := c.Node
	switch {
	case n.Has("value"):
		return one(c.Tensor(n.Tensor("value")))
	case n.Has("value_int"):
		return []*Value{c.Constant(Ints([]int64{n.Int("value_int", 0)}))}, nil
	case n.Has("value_ints"):
		return []*Value{c.Ints(n.Ints("value_ints")...)}, nil
	case n.Has("value_float"):
		return []*Value{c.Constant(Floats([]float32{n.Float("value_float", 0)}))}, nil
	case n.Has("value_floats"):
		v := n.Floats("value_floats")
		return []*Value{c.Constant(Floats(v, len(v)))}, nil
	}
	return nil, fmt.Errorf("a constant of attributes %q is not supported", n.Attributes())
}

// lowerConstantOfShape: without a value it is float zeros.
func lowerConstantOfShape(c *Call) ([]*Value, error) {
	ints, err := c.KnownInts(0, "shape")
	if err != nil {
		return nil, err
	}
	shape, err := toSizes(ints)
	if err != nil {
		return nil, err
	}
	value := c.Constant(Floats([]float32{0}, 1))
	if c.Node.Has("value") {
		if value, err = c.Tensor(c.Node.Tensor("value")); err != nil {
			return nil, err
		}
	}
	if value.Type.Elements() != 1 {
		return nil, fmt.Errorf("expected a value of one element, found %v", value.Type)
	}
	return one(c.Emit(Expand{Shape: shape}, c.Constant(value.Const.View(nil))))
}

// lowerShape: opset 15 added start and end.
func lowerShape(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
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
	return []*Value{c.Ints(dims...)}, nil
}

func lowerSize(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	return []*Value{c.Constant(Ints([]int64{int64(x.Type.Elements())}))}, nil
}

// lowerRange: max(⌈(limit − start)/delta⌉, 0) elements start + i·delta.
func lowerRange(c *Call) ([]*Value, error) {
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
	if delta == 0 || math.IsNaN(n) || n > maxElements || ClassOf(t) == ClassNone {
		return nil, fmt.Errorf("range of %v from %v to %v by %v", t, start, bounds[1], delta)
	}
	out, err := c.NewArray(Type{t, []int{int(max(n, 0))}})
	if err != nil {
		return nil, err
	}
	for i := range out.Elements() {
		x := start + float64(i)*delta
		switch d := out.Data.(type) {
		case []float32:
			d[i] = float32(x)
		case []float64:
			d[i] = x
		case []int64:
			d[i] = int64(x)
		}
	}
	if d, ok := out.Data.([]float32); ok {
		round(t, d)
	}
	return []*Value{c.Constant(out)}, nil
}
