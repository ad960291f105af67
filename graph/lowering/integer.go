package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Networks of integers are read as the network of floats that they approximate, with
// activations that are rounded to the integers' grids. Where a grid is known when the
// graph is read, an integer activation is the result of an [op.QuantizeLinear], from
// which [dequantised] gets at the numbers. Where it depends on the image, as that of
// DynamicQuantizeLinear, the "integers" are the rounded numbers themselves, their
// scale is 1 and their zero point 0: whatever linear thing a graph does with integers
// and scale comes out right.
func integerEntries() []Entry {
	const (
		activations = "a step function; straight-through"
		products    = "of integers; straight-through in the numbers that they stand for"
		perImage    = "one grid for each image, as for batches of one"
	)
	product := func(domain, name string, max int64, lower Lowering, limit string) Entry {
		return Entry{Domain: domain, Name: name, Min: 1, Max: max, Lower: lower, NoGradient: products, Limit: limit}
	}
	return []Entry{
		{Name: "DynamicQuantizeLinear", Min: 11, Max: MaxOpset, Lower: lowerDynamicQuantize, NoGradient: activations, Limit: perImage},
		product("", "MatMulInteger", MaxOpset, lowerInteger(lowerMatMul, -1), "of dynamically quantised activations"),
		product("", "ConvInteger", MaxOpset, lowerInteger(lowerConv, 1), "of dynamically quantised activations"),
		product("", "QLinearConv", MaxOpset, lowerQLinearConv, ""),
		product("", "QLinearMatMul", MaxOpset, lowerQLinearMatMul, ""),
		product(microsoft, "DynamicQuantizeMatMul", 1, lowerDynamicQuantizeMatMul, perImage),
		product(microsoft, "MatMulIntegerToFloat", 1, lowerMatMulIntegerToFloat, "of dynamically quantised activations"),
		product(microsoft, "QGemm", 1, lowerQGemm, ""),
		product(microsoft, "QLinearAdd", 1, lowerQLinearAdd, ""),
		product(microsoft, "QLinearAveragePool", 1, lowerQLinearAveragePool, "channels first"),
		product(microsoft, "QLinearConcat", 1, lowerQLinearConcat, ""),
		product(microsoft, "QLinearGlobalAveragePool", 1, lowerQLinearGlobalAveragePool, "channels first"),
		product(microsoft, "QLinearLeakyRelu", 1, lowerQLinearUnary(lowerWith(func(c *Call) op.Op { return op.LeakyRelu{Alpha: c.attribute("alpha", 0.01)} })), ""),
		product(microsoft, "QLinearMul", 1, lowerQLinearMul, ""),
		product(microsoft, "QLinearSigmoid", 1, lowerQLinearUnary(lowerPlain(op.Sigmoid{}, 1)), ""),
		product(microsoft, "QLinearSoftmax", 1, lowerQLinearSoftmax, ""),
	}
}

// lowerDynamicQuantize gives the rounded numbers, 1 and 0; see [integerEntries].
func lowerDynamicQuantize(c *Call) ([]*op.Value, error) {
	y, err := c.fakeDynamic(0)
	if err != nil {
		return nil, err
	}
	return []*op.Value{y, c.scalar(y, 1), c.Constant(op.Array{Type: op.Type{DType: onnx.Uint8, Shape: []int{}}, Data: []int64{0}})}, nil
}

// fakeDynamic rounds input i to a grid for each image.
func (c *Call) fakeDynamic(i int) (*op.Value, error) {
	x, err := c.need(i)
	if err != nil {
		return nil, err
	}
	groups := 1
	if x.OnDataPath && c.Batch > 0 {
		if x.Type.Rank() == 0 || x.Type.Shape[0]%c.Batch != 0 {
			return nil, fmt.Errorf("the range of a value of %v is one for the whole batch: it cannot be had image by image", x.Type)
		}
		groups = c.Batch
	}
	return c.Emit(op.FakeDynamicQuantize{Groups: groups}, x)
}

// isOne reports whether a value is known to be 1 throughout, and isZero 0.
func isOne(v *op.Value) bool  { return holds(v, 1) }
func isZero(v *op.Value) bool { return holds(v, 0) }

func holds(v *op.Value, number float64) bool {
	return v.Const != nil && !slices.ContainsFunc(v.Const.AsFloats(), func(x float64) bool { return x != number })
}

// operand returns the numbers behind an operand of a product of integers less its zero
// point, input z: a weight, which is dequantised as it is read; activations that were
// quantised for each image; or known integers, which are cast.
func (c *Call) operand(i, z int) (*op.Value, error) {
	v, err := c.need(i)
	if err != nil {
		return nil, err
	}
	zero := c.arg(z)
	switch {
	case c.isRead(i), op.ClassOf(v.Type.DType) == op.ClassFloat32 && (zero == nil || isZero(zero)):
		return v, nil
	case v.Const == nil:
		return nil, fmt.Errorf("input %d is %v: expected a weight, or what DynamicQuantizeLinear gives", i, v.Type)
	}
	e := &emitter{Call: c}
	v = e.emit(op.Cast{To: onnx.Float}, v)
	if zero != nil {
		if zero.Const == nil {
			return nil, fmt.Errorf("zero point (input %d) must be known when the graph is read", z)
		}
		zero = e.emit(op.Cast{To: onnx.Float}, zero)
		if rank := v.Type.Rank(); zero.Type.Rank() == 1 && zero.Type.Elements() > 1 && rank > 2 { // of filters
			zero = e.view(zero, []int{zero.Type.Elements()}, shapes.Ones(rank-1))
		}
		v = e.emit(op.Sub{}, v, zero)
	}
	return v, e.err
}

// isRead reports whether input i is a tensor of the file that was dequantised as it was
// read: a weight, or one that turned out to be none.
func (c *Call) isRead(i int) bool {
	v := c.arg(i)
	return v != nil && op.ClassOf(v.Type.DType) == op.ClassFloat32 && (v.Kind == op.Weight || v.Kind == op.Constant)
}

// with is the call with other inputs.
func (c *Call) with(in ...*op.Value) *Call {
	other := *c
	other.In = in
	return &other
}

// lowerInteger lowers a product of integers (a, b, zero of a, zero of b) as that of
// the numbers. axis is that of the result along which the scale of the weight changes.
func lowerInteger(product Lowering, axis int) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		a, err := c.operand(0, 2)
		if err != nil {
			return nil, err
		}
		b, err := c.operand(1, 3)
		if err != nil {
			return nil, err
		}
		y, err := product(c.with(a, b))
		if err != nil {
			return nil, err
		}
		return one(c.dynamicProduct(y[0], a, c.Factor, axis))
	}
}

// dynamicProduct is y, the product of a and of a weight of the given scale, as one of
// integers where a was quantised for each image just before.
func (c *Call) dynamicProduct(y, a *op.Value, scale []float32, axis int) (*op.Value, error) {
	if a.Step == nil || len(scale) == 0 {
		return y, nil
	}
	rank := y.Type.Rank()
	if axis < 0 {
		axis += rank
	}
	o, ok := a.Step.Op.(op.FakeDynamicQuantize)
	if !ok {
		return y, nil
	}
	x := a.Step.In[0]
	if axis < 0 || x.Type.DType != y.Type.DType || op.ClassOf(y.Type.DType) != op.ClassFloat32 ||
		y.Type.Shape[0]%o.Groups != 0 || len(scale) > 1 && len(scale) != y.Type.Shape[axis] {
		return y, nil
	}
	return c.Emit(op.DynamicProduct{Groups: o.Groups, Scale: scale, Axis: axis}, y, x)
}

// lowerMatMulIntegerToFloat: (a, b, scale of a, scale of b, zero of a, zero of b, bias).
func lowerMatMulIntegerToFloat(c *Call) ([]*op.Value, error) {
	a, err := c.operand(0, 4)
	if err != nil {
		return nil, err
	}
	return c.scaledProduct(a, 2, 1, 3, 5, 6)
}

// lowerDynamicQuantizeMatMul: (a, b, scale of b, zero of b, bias).
func lowerDynamicQuantizeMatMul(c *Call) ([]*op.Value, error) {
	a, err := c.fakeDynamic(0)
	if err != nil {
		return nil, err
	}
	return c.scaledProduct(a, -1, 1, 2, 3, 4)
}

// scaledProduct is a·b plus a bias, times the scales at the given inputs: a weight has
// its own in it.
func (c *Call) scaledProduct(a *op.Value, scaleA, b, scaleB, zeroB, bias int) ([]*op.Value, error) {
	w, err := c.operand(b, zeroB)
	if err != nil {
		return nil, err
	}
	y, err := lowerMatMul(c.with(a, w))
	if err != nil {
		return nil, err
	}
	e := &emitter{Call: c}
	if c.isRead(b) {
		scale, err := c.scales(scaleB)
		if err != nil {
			return nil, err
		}
		if y[0], err = c.dynamicProduct(y[0], a, scale, -1); err != nil {
			return nil, err
		}
	} else {
		y[0] = e.emit(op.Mul{}, y[0], e.input(scaleB))
	}
	if scaleA >= 0 && e.err == nil && !isOne(e.input(scaleA)) {
		y[0] = e.emit(op.Mul{}, y[0], e.input(scaleA))
	}
	if v := c.arg(bias); v != nil {
		y[0] = e.emit(op.Add{}, y[0], v)
	}
	return one(y[0], e.err)
}
