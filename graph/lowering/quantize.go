package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func quantizeEntries() []Entry {
	const (
		grid     = "of integers; that of the numbers that they stand for is the weight's"
		step     = "a step function; straight-through within the range where a DequantizeLinear of the same grid follows, refused elsewhere"
		integers = "integers of up to 32 bits; scale and zero point must be known when the graph is read"
	)
	return []Entry{
		{Name: "QuantizeLinear", Min: 10, Max: MaxOpset, Lower: lowerQuantize, NoGradient: step, Limit: integers},
		{Name: "DequantizeLinear", Min: 10, Max: MaxOpset, Lower: lowerDequantize, NoGradient: grid, Limit: integers},
		{Domain: microsoft, Name: "QuantizeLinear", Min: 1, Max: 1, Lower: lowerQuantize, NoGradient: step, Limit: integers},
		{Domain: microsoft, Name: "DequantizeLinear", Min: 1, Max: 1, Lower: lowerDequantize, NoGradient: grid, Limit: integers},
	}
}

// grid returns the grid of a QuantizeLinear or DequantizeLinear of a value of
// the given shape, of integers of type q and floats of type float; see [Call.gridAt].
func grid(c *Call, shape []int, q, float onnx.DType) (onnx.Grid, error) {
	if c.Node.Int("precision", 0) > 1 { // FLOAT, or the scale's type, which is computed in float32 too
		return onnx.Grid{}, fmt.Errorf("a division in %v is not supported", onnx.DType(c.Node.Int("precision", 0)))
	}
	return c.gridAt(1, shape, q, float, c.Node.Int("axis", 1), c.Node.Int("block_size", 0))
}

// gridAt returns the grid of which the scale is input i and the zero point, which may
// be absent, the next one. Undefined stands for the type of the zero point, else UINT8,
// and for that of the scale.
func (c *Call) gridAt(i int, shape []int, q, float onnx.DType, axis, block int64) (onnx.Grid, error) {
	g := onnx.Grid{DType: q, Float: float}
	scale, err := c.need(i)
	if err != nil {
		return g, err
	}
	if scale.Const == nil {
		return g, fmt.Errorf("scale (input %d) must be known when the graph is read: a grid that depends on the image has no gradient", i)
	}
	if op.ClassOf(scale.Type.DType) != op.ClassFloat32 {
		return g, fmt.Errorf("a scale of type %v is not supported", scale.Type)
	}
	g.Scale = op.Elem[float32](*scale.Const)
	for k, s := range g.Scale {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			return g, fmt.Errorf("scale (input %d) is %v at element %d", i, s, k)
		}
	}
	if g.Float == onnx.Undefined {
		g.Float = scale.Type.DType
	}
	if zero := c.arg(i + 1); zero != nil {
		if g.DType == onnx.Undefined {
			g.DType = zero.Type.DType
		}
		if zero.Type.DType != g.DType || zero.Type.Elements() != len(g.Scale) {
			return g, fmt.Errorf("a zero point of type %v for %v and a scale of %v", zero.Type, g.DType, scale.Type)
		}
		if g.DType.CanQuantize() {
			if g.Zero, err = c.knownInts(i+1, "zero point"); err != nil {
				return g, err
			}
		}
	}
	if g.DType == onnx.Undefined {
		g.DType = onnx.Uint8
	}
	switch {
	case !g.DType.CanQuantize():
		return g, fmt.Errorf("quantisation to %v is not supported", g.DType)
	case op.ClassOf(g.Float) != op.ClassFloat32:
		return g, fmt.Errorf("dequantisation to %v is not supported", g.Float)
	}
	g.Axis, g.BlockSize, err = onnx.GridAxis(shape, scale.Type.Shape, axis, block)
	return g, err
}

func lowerQuantize(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	g, err := grid(c, x.Type.Shape, onnx.DType(c.Node.Int("output_dtype", 0)), x.Type.DType)
	if err != nil {
		return nil, err
	}
	return one(c.Emit(op.QuantizeLinear{Grid: g}, x))
}

// lowerDequantize makes one [op.FakeQuantize] of a DequantizeLinear and the
// QuantizeLinear before it, wherever the integers have been in between.
func lowerDequantize(c *Call) ([]*op.Value, error) {
	q, err := c.need(0)
	if err != nil {
		return nil, err
	}
	if scale := c.arg(1); op.ClassOf(q.Type.DType) == op.ClassFloat32 && scale != nil && isOne(scale) {
		return []*op.Value{q}, nil // what DynamicQuantizeLinear gives: see [integerEntries]
	}
	g, err := grid(c, q.Type.Shape, q.Type.DType, onnx.DType(c.Node.Int("output_dtype", 0)))
	if err != nil {
		return nil, err
	}
	if v, err := c.dequantised(q, g); err == nil {
		return one(v, nil)
	}
	return one(c.Emit(op.DequantizeLinear{Grid: g}, q))
}

// sameGrid reports whether two grids differ in the type of their values at most.
func sameGrid(a, b onnx.Grid) bool {
	zeros := func(g onnx.Grid) []int64 {
		if g.Zero == nil {
			return make([]int64, len(g.Scale))
		}
		return g.Zero
	}
	return a.DType == b.DType && a.Axis == b.Axis && a.BlockSize == b.BlockSize && slices.Equal(a.Scale, b.Scale) && slices.Equal(zeros(a), zeros(b))
}
