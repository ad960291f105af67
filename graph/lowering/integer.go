package lowering

import (
	"fmt"
	"math"
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
		product("", "MatMulInteger", MaxOpset, lowerInteger(lowerMatMul), "of dynamically quantised activations"),
		product("", "ConvInteger", MaxOpset, lowerInteger(lowerConv), "of dynamically quantised activations"),
		product("", "QLinearConv", MaxOpset, lowerQLinearConv, ""),
		product("", "QLinearMatMul", MaxOpset, lowerQLinearMatMul, ""),
		product(microsoft, "DynamicQuantizeMatMul", 1, lowerDynamicQuantizeMatMul, perImage),
		product(microsoft, "MatMulIntegerToFloat", 1, lowerMatMulIntegerToFloat, "of dynamically quantised activations"),
		product(microsoft, "QGemm", 1, lowerQGemm, ""),
		product(microsoft, "QLinearAdd", 1, lowerQLinearBinary(op.Add{}), ""),
		product(microsoft, "QLinearAveragePool", 1, lowerQLinearUnary(lowerAveragePool), "channels first"),
		product(microsoft, "QLinearConcat", 1, lowerQLinearConcat, ""),
		product(microsoft, "QLinearGlobalAveragePool", 1, lowerQLinearUnary(lowerGlobalPool(op.ReduceMean)), "channels first"),
		product(microsoft, "QLinearLeakyRelu", 1, lowerQLinearUnary(lowerWith(func(c *Call) op.Op { return op.LeakyRelu{Alpha: c.attribute("alpha", 0.01)} })), ""),
		product(microsoft, "QLinearMul", 1, lowerQLinearBinary(op.Mul{}), ""),
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
// the numbers.
func lowerInteger(product Lowering) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		a, err := c.operand(0, 2)
		if err != nil {
			return nil, err
		}
		b, err := c.operand(1, 3)
		if err != nil {
			return nil, err
		}
		return product(c.with(a, b))
	}
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
	if !c.isRead(b) {
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

// triple is a quantised operand: it, its scale and its zero point at three inputs in a
// row. A weight is dequantised as it is read.
func (c *Call) triple(i int) (*op.Value, error) {
	v, err := c.need(i)
	if err != nil {
		return nil, err
	}
	if c.isRead(i) {
		return v, nil
	}
	axis := int64(0) // of filters
	if v.Type.Rank() == 2 && c.Node.Int("transB", 0) == 0 {
		axis = 1
	}
	g, err := c.gridAt(i+1, v.Type.Shape, v.Type.DType, onnx.Undefined, axis, 0)
	if err != nil {
		return nil, err
	}
	return c.dequantised(v, g)
}

// triples returns the first two operands of an operator that begins with both and
// their grids.
func (c *Call) triples() (a, b *op.Value, err error) {
	if a, err = c.triple(0); err != nil {
		return nil, nil, err
	}
	b, err = c.triple(3)
	return a, b, err
}

// dequantised returns the numbers that integers on a grid stand for: what was
// quantised, rounded; of integers that were rearranged or of which some were chosen,
// the same of what they were before.
func (c *Call) dequantised(q *op.Value, g onnx.Grid) (*op.Value, error) {
	if q.Const != nil {
		return c.Emit(op.DequantizeLinear{Grid: g}, q)
	}
	s := q.Step
	if s == nil {
		return nil, fmt.Errorf("%v: expected integers that the graph has quantised", q.Type)
	}
	switch o := s.Op.(type) {
	case op.QuantizeLinear:
		if !sameGrid(o.Grid, g) {
			return nil, fmt.Errorf("the integers lie on another grid, of scale %v and zero point %v, than they are read on, of scale %v and zero point %v", o.Grid.Scale, o.Grid.Zero, g.Scale, g.Zero)
		}
		return c.Emit(op.FakeQuantize{Grid: g}, s.In[0])
	case op.View, op.Transpose, op.Slice, op.Gather, op.MaxPool, op.Concat, op.Expand:
		if g.Axis >= 0 {
			break
		}
		in := slices.Clone(s.In)
		for i, v := range in {
			if _, gathers := s.Op.(op.Gather); gathers && i > 0 {
				continue
			}
			var err error
			if in[i], err = c.dequantised(v, g); err != nil {
				return nil, err
			}
		}
		return c.Emit(s.Op, in...)
	}
	return nil, fmt.Errorf("integers that %s makes cannot be read as numbers", s.Op.Name())
}

// quantised rounds a result to the grid at input i.
func (c *Call) quantised(y *op.Value, i int) ([]*op.Value, error) {
	g, err := c.gridAt(i, y.Type.Shape, onnx.Undefined, y.Type.DType, 1, 0)
	if err != nil {
		return nil, err
	}
	return one(c.Emit(op.QuantizeLinear{Grid: g}, y))
}

// biasAt returns an INT32 bias, whose scale is the product of those of the operands at
// inputs a and b, as numbers; nil where there is none.
func (c *Call) biasAt(i, a, b int) (*op.Value, error) {
	bias := c.arg(i)
	if bias == nil {
		return nil, nil
	}
	ints, err := c.knownInts(i, "bias")
	if err != nil {
		return nil, err
	}
	scaleA, err := c.knownFloats(a, "scale")
	if err != nil {
		return nil, err
	}
	scaleB, err := c.knownFloats(b, "scale")
	if err != nil || len(scaleA) != 1 || len(scaleB) != 1 && len(scaleB) != len(ints) {
		return nil, fmt.Errorf("a bias of %v with scales of %d and %d elements (%v)", bias.Type, len(scaleA), len(scaleB), err)
	}
	values := make([]float32, len(ints))
	for k, q := range ints {
		values[k] = float32(float64(q) * scaleA[0] * scaleB[k%len(scaleB)])
	}
	return c.Constant(op.Array{Type: op.Type{DType: onnx.Float, Shape: []int{len(values)}}, Data: values}), nil
}

// lowerQLinearConv: (x, w and their grids, grid of the result, bias).
func lowerQLinearConv(c *Call) ([]*op.Value, error) {
	x, w, err := c.triples()
	if err != nil {
		return nil, err
	}
	bias, err := c.biasAt(8, 1, 4)
	if err != nil {
		return nil, err
	}
	y, err := lowerConv(c.with(x, w, bias))
	if err != nil {
		return nil, err
	}
	return c.quantised(y[0], 6)
}

// lowerQLinearMatMul: (a, b and their grids, grid of the result).
func lowerQLinearMatMul(c *Call) ([]*op.Value, error) {
	a, b, err := c.triples()
	if err != nil {
		return nil, err
	}
	y, err := lowerMatMul(c.with(a, b))
	if err != nil {
		return nil, err
	}
	return c.quantised(y[0], 6)
}

// lowerQGemm: (a, b and their grids, bias, grid of the result, absent where that is of
// floats).
func lowerQGemm(c *Call) ([]*op.Value, error) {
	a, b, err := c.triples()
	if err != nil {
		return nil, err
	}
	bias, err := c.biasAt(6, 1, 4)
	if err != nil {
		return nil, err
	}
	y, err := lowerGemm(c.with(a, b, bias))
	if err != nil || c.arg(7) == nil {
		return y, err
	}
	return c.quantised(y[0], 7)
}

// lowerQLinearBinary: (a, b and their grids, grid of the result).
func lowerQLinearBinary(o op.Op) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		a, b, err := c.triples()
		if err != nil {
			return nil, err
		}
		y, err := c.Emit(o, a, b)
		if err != nil {
			return nil, err
		}
		return c.quantised(y, 6)
	}
}

// lowerQLinearUnary: (x and its grid, grid of the result).
func lowerQLinearUnary(plain Lowering) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		if c.Node.Int("channels_last", 0) != 0 {
			return nil, fmt.Errorf("channels_last is not supported")
		}
		x, err := c.triple(0)
		if err != nil {
			return nil, err
		}
		y, err := plain(c.with(x))
		if err != nil {
			return nil, err
		}
		return c.quantised(y[0], 3)
	}
}

// lowerQLinearSoftmax: (x and its grid, grid of the result), with the opset of ai.onnx
// whose Softmax it is. ONNX Runtime, whose operator it is, has for 1 the largest whole
// number of steps that is not above it, and for others their share of that: 254 of the
// scale 1/255, since its quotient in float32 is less than 255.
func lowerQLinearSoftmax(c *Call) ([]*op.Value, error) {
	x, err := c.triple(0)
	if err != nil {
		return nil, err
	}
	scale, err := c.knownFloats(3, "scale")
	if err != nil || len(scale) != 1 {
		return nil, fmt.Errorf("a scale of %d elements, expected one (%v)", len(scale), err)
	}
	plain := c.with(x)
	plain.Opset = c.Node.Int("opset", 13)
	y, err := lowerSoftmax(func(axis int) op.Op { return op.Softmax{Axis: axis} })(plain)
	if err != nil {
		return nil, err
	}
	steps := math.Floor(float64(1 / float32(scale[0])))
	e := &emitter{Call: c}
	shares := e.emit(op.Mul{}, y[0], c.scalar(y[0], steps*scale[0]))
	if e.err != nil {
		return nil, e.err
	}
	return c.quantised(shares, 3)
}

// lowerQLinearConcat: (grid of the result, then each part and its grid).
func lowerQLinearConcat(c *Call) ([]*op.Value, error) {
	var parts []*op.Value
	for i := 2; i+1 < len(c.In); i += 3 {
		part, err := c.triple(i)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	y, err := lowerConcat(c.with(parts...))
	if err != nil {
		return nil, err
	}
	return c.quantised(y[0], 0)
}
