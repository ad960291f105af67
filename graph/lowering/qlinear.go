package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

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
		if from := s.In[0].Step; from != nil {
			if o, is := from.Op.(op.OnGrid); is && sameGrid(o.RoundsTo(), g) {
				return s.In[0], nil
			}
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
	case op.Pad:
		if g.Axis >= 0 {
			break
		}
		x, err := c.dequantised(s.In[0], g)
		if err != nil {
			return nil, err
		}
		if o.Mode == op.PadConstant {
			o.Value = float64(g.Value(int64(o.Value), 0))
		}
		return c.Emit(o, x)
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

// lowerQLinearConv: (x, w and their grids, grid of the result, bias).
func lowerQLinearConv(c *Call) ([]*op.Value, error) {
	p := integerProduct{Call: c, lower: lowerConv, axis: 1, alpha: 1, bias: 8, out: 6}
	return p.emit()
}

// lowerQLinearMatMul: (a, b and their grids, grid of the result).
func lowerQLinearMatMul(c *Call) ([]*op.Value, error) {
	p := integerProduct{Call: c, lower: lowerMatMul, axis: -1, alpha: 1, bias: -1, out: 6}
	return p.emit()
}

// lowerQGemm: (a, b and their grids, bias, grid of the result, absent where that is of
// floats).
func lowerQGemm(c *Call) ([]*op.Value, error) {
	p := integerProduct{Call: c, lower: lowerGemm, axis: -1, alpha: c.Node.Float("alpha", 1), bias: 6, out: 7}
	return p.emit()
}

// integerProduct is a product of integers: of two operands and their grids, plus a bias
// of INT32, whose sum is rounded to the grid of the result.
type integerProduct struct {
	*Call
	lower Lowering // the product of the numbers that the integers stand for
	axis  int      // of the result, along which the second operand's scale changes
	alpha float32  // that the sum is multiplied by
	bias  int      // input; -1 for none
	out   int      // input of the result's scale
}

func (p integerProduct) emit() ([]*op.Value, error) {
	a, b, err := p.triples()
	if err != nil {
		return nil, err
	}
	scaleA, err := p.scales(1)
	if err != nil {
		return nil, err
	}
	scaleB, err := p.scales(4)
	if err != nil {
		return nil, err
	}
	r := op.Requantize{Step: make([]float64, len(scaleB))}
	for k, s := range scaleB {
		r.Step[k] = float64(p.alpha) * float64(scaleA[0]) * float64(s)
	}
	var bias *op.Value
	if p.bias >= 0 && p.arg(p.bias) != nil {
		if len(scaleA) != 1 {
			return nil, fmt.Errorf("a bias with %d scales of the first operand, expected one", len(scaleA))
		}
		if bias, err = p.biasOf(r.Step); err != nil {
			return nil, err
		}
	}
	y, err := p.lower(p.with(a, b, bias))
	if err != nil || p.arg(p.out) == nil {
		return y, err
	}
	if len(scaleA) != 1 {
		return p.quantised(y[0], p.out)
	}
	if r.Axis = p.axis; r.Axis < 0 {
		r.Axis += y[0].Type.Rank()
	}
	return p.requantised(y[0], r, p.out, func(k int, scale float32) float32 {
		return float32(p.alpha*scaleA[0]) * scaleB[k] / scale
	})
}

// scales returns the known scales at input i, at least one.
func (c *Call) scales(i int) ([]float32, error) {
	known, err := c.knownFloats(i, "scale")
	if err == nil && len(known) == 0 {
		err = fmt.Errorf("no scale (input %d)", i)
	}
	scales := make([]float32, len(known))
	for k, s := range known {
		scales[k] = float32(s)
	}
	return scales, err
}

// biasOf returns the bias, of INT32, as numbers: of one step or of a step for each element.
func (p integerProduct) biasOf(step []float64) (*op.Value, error) {
	ints, err := p.knownInts(p.bias, "bias")
	if err != nil {
		return nil, err
	}
	if len(step) != 1 && len(step) != len(ints) {
		return nil, fmt.Errorf("a bias of %d elements with %d scales", len(ints), len(step))
	}
	values := make([]float32, len(ints))
	for k, q := range ints {
		values[k] = float32(float64(q) * step[k%len(step)])
	}
	return p.Constant(op.Array{Type: op.Type{DType: onnx.Float, Shape: []int{len(values)}}, Data: values}), nil
}

// requantised rounds sums of integers, of the steps that r has, to the grid at input i.
// multiplier is what leads from a sum to steps of that grid, of a scale.
func (c *Call) requantised(y *op.Value, r op.Requantize, i int, multiplier func(k int, scale float32) float32) ([]*op.Value, error) {
	var err error
	if r.Grid, err = c.gridAt(i, y.Type.Shape, onnx.Undefined, y.Type.DType, 1, 0); err != nil {
		return nil, err
	}
	if slices.Contains(r.Step, 0) || r.Grid.Axis >= 0 { // nothing to count, or a grid for each channel
		return c.quantised(y, i)
	}
	if n := len(r.Step); n > 1 && n != y.Type.Shape[r.Axis] {
		return nil, fmt.Errorf("%d scales for axis %d of %v", n, r.Axis, y.Type)
	}
	r.Multiplier = make([]float32, len(r.Step))
	for k := range r.Multiplier {
		r.Multiplier[k] = multiplier(k, r.Grid.Scale[0])
	}
	y, err = c.Emit(r, y)
	if err != nil {
		return nil, err
	}
	return c.quantised(y, i)
}

// lowerQLinearAdd: (a, b and their grids, grid of the result).
func lowerQLinearAdd(c *Call) ([]*op.Value, error) {
	a, b, err := c.triples()
	if err != nil {
		return nil, err
	}
	o := op.QLinearAdd{}
	for _, at := range []struct {
		grid  *onnx.Grid
		scale int
	}{{&o.A, 1}, {&o.B, 4}, {&o.Out, 6}} {
		if *at.grid, err = c.gridAt(at.scale, nil, onnx.Undefined, onnx.Undefined, 0, 0); err != nil {
			return nil, err
		}
	}
	y, err := c.Emit(o, a, b)
	if err != nil {
		return nil, err
	}
	return c.quantised(y, 6)
}

// lowerQLinearMul: (a, b and their grids, grid of the result).
func lowerQLinearMul(c *Call) ([]*op.Value, error) {
	a, b, err := c.triples()
	if err != nil {
		return nil, err
	}
	scaleA, err := c.scales(1)
	if err != nil {
		return nil, err
	}
	scaleB, err := c.scales(4)
	if err != nil {
		return nil, err
	}
	y, err := c.Emit(op.Mul{}, a, b)
	if err != nil {
		return nil, err
	}
	r := op.Requantize{Step: []float64{float64(scaleA[0]) * float64(scaleB[0])}, ZeroFirst: true}
	return c.requantised(y, r, 6, func(_ int, scale float32) float32 { return float32(scaleA[0]*scaleB[0]) / scale })
}

// lowerQLinearAveragePool: (x and its grid, grid of the result).
func lowerQLinearAveragePool(c *Call) ([]*op.Value, error) {
	return lowerQLinearUnary(func(x *Call) ([]*op.Value, error) {
		o, in, err := averagePool(x)
		if err != nil {
			return nil, err
		}
		g, err := c.gridAt(3, nil, onnx.Undefined, onnx.Undefined, 0, 0)
		if err != nil {
			return nil, err
		}
		return one(c.Emit(op.QLinearAveragePool{AveragePool: o, Out: g}, in))
	})(c)
}

// lowerQLinearGlobalAveragePool: (x and its grid, grid of the result).
func lowerQLinearGlobalAveragePool(c *Call) ([]*op.Value, error) {
	return lowerQLinearUnary(func(x *Call) ([]*op.Value, error) {
		y, err := lowerGlobalPool(op.ReduceMean)(x)
		if err != nil {
			return nil, err
		}
		scale, err := c.scales(1)
		if err != nil {
			return nil, err
		}
		size := float32(x.In[0].Type.Elements() / max(1, y[0].Type.Elements()))
		r := op.Requantize{Step: []float64{float64(scale[0]) / float64(size)}}
		return c.requantised(y[0], r, 3, func(_ int, s float32) float32 { return scale[0] / float32(s*size) })
	})(c)
}

// lowerQLinearUnary: (x and its grid, grid of the result). plain makes numbers of x, or
// the integers.
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
		if err != nil || op.ClassOf(y[0].Type.DType) == op.ClassInt {
			return y, err
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
