package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Quantization says that an integer tensor is a stored weight: that nothing
// reads it but DequantizeLinear nodes, or operators of integers, which all give it the
// same values.
type Quantization struct {
	Scale     *Tensor
	ZeroPoint *Tensor // nil where it is 0 throughout
	Axis      int     // see [Grid]
	BlockSize int
	DType     DType   // of the values
	Nodes     []*Node // those that read it, in topological order
	// Factors are the nodes that multiply the scale of the activations by Scale, where a
	// product of integers leaves that to others. The values have Scale in them: what
	// computes with them takes it for 1 there.
	Factors []*Node

	stored DType // of the integers
}

// Apart reports whether the integers are dequantised by nodes of their own, so that
// floats can be stored in their place.
func (q *Quantization) Apart() bool {
	return !slices.ContainsFunc(q.Nodes, func(n *Node) bool { return !n.Dequantizes() })
}

// String describes the grid on which the weight lies: INT8 grid, axis 0.
func (q *Quantization) String() string {
	text := q.stored.String() + " grid"
	switch {
	case q.BlockSize > 0:
		text += fmt.Sprintf(", blocks of %d along axis %d", q.BlockSize, q.Axis)
	case q.Axis >= 0:
		text += fmt.Sprintf(", axis %d", q.Axis)
	}
	return text
}

// Quantization returns how a quantised weight is stored, nil for other tensors.
func (t *Tensor) Quantization() *Quantization { return t.quantization }

// ValueType returns the type of the values that [Tensor.Float32s] gives: that of
// the dequantised values of a quantised weight, else the tensor's own.
func (t *Tensor) ValueType() DType {
	if t.quantization != nil {
		return t.quantization.DType
	}
	return t.DType
}

// HoldsFloats reports whether the tensor can be read by [Tensor.Float32s] and
// have new values: whether it is of a floating-point type or a quantised weight.
func (t *Tensor) HoldsFloats() bool { return t.DType.IsFloat() || t.quantization != nil }

// Dequantizes reports whether a node is a DequantizeLinear, of ONNX or, with the
// same meaning, of ONNX Runtime.
func (n *Node) Dequantizes() bool {
	return n.OpType == "DequantizeLinear" && (n.Domain == "" || n.Domain == "com.microsoft")
}

// findQuantized finds the quantised weights.
func findQuantized(m *Model) {
	f := factorFinder{model: m}
	found := map[*Tensor]*Quantization{}
	refused := map[*Tensor]bool{}
	for _, n := range m.Nodes {
		for i, value := range n.Inputs {
			t := m.constants[value]
			if t == nil || !t.DType.CanQuantize() || t.elements == 0 || refused[t] {
				continue
			}
			q := f.quantizationBy(n, i, t)
			switch known := found[t]; {
			case q == nil:
				refused[t] = true
			case known == nil:
				found[t] = q
			case known.Scale != q.Scale || known.ZeroPoint != q.ZeroPoint || known.Axis != q.Axis || known.BlockSize != q.BlockSize || known.DType != q.DType:
				refused[t] = true
			default:
				known.Nodes, known.Factors = append(known.Nodes, n), append(known.Factors, q.Factors...)
			}
		}
	}
	for _, v := range m.Outputs {
		refused[m.constants[v.Name]] = true
	}
	for t, q := range found {
		if !refused[t] {
			t.quantization = q
		}
	}
}

// quantizationBy returns what a node makes of the tensor at its input i, nil
// unless it dequantises it by constants.
func (f *factorFinder) quantizationBy(n *Node, i int, t *Tensor) *Quantization {
	if n.Outputs[0] == "" {
		return nil
	}
	constant := func(i int) *Tensor {
		if i < 0 || i >= len(n.Inputs) || n.Inputs[i] == "" {
			return nil
		}
		return f.model.constants[n.Inputs[i]]
	}
	form := integerOperators[n.OpType]
	axis, block := int64(form.axis), int64(0)
	switch {
	case n.Dequantizes():
		form = integerOperator{weight: 0, scale: 1, zero: 2}
		axis, block = n.Int("axis", 1), n.Int("block_size", 0)
	case form.domain != n.Domain && !(form.domain == "" && n.Domain == "ai.onnx") || form.scale == 0:
		return nil
	case n.Int("transB", 0) != 0:
		axis = 0
	}
	if i != form.weight {
		return nil
	}
	q := &Quantization{Scale: constant(form.scale), Nodes: []*Node{n}, stored: t.DType}
	if form.scale == byOthers {
		q.Scale, q.Factors = f.factor(n)
	}
	if q.Scale == nil {
		return nil
	}
	if n.Dequantizes() {
		q.DType = DType(n.Int("output_dtype", 0))
	}
	if q.DType == Undefined {
		q.DType = q.Scale.DType
	}
	for _, d := range []DType{q.Scale.DType, q.DType} {
		if d != Float && d != Float16 && d != BFloat16 {
			return nil
		}
	}
	if form.zero < len(n.Inputs) && n.Inputs[form.zero] != "" {
		q.ZeroPoint = constant(form.zero)
		if q.ZeroPoint == nil || q.ZeroPoint.DType != t.DType || q.ZeroPoint.elements != q.Scale.elements {
			return nil
		}
	}
	var err error
	if q.Axis, q.BlockSize, err = GridAxis(t.Shape, q.Scale.Shape, axis, block); err != nil {
		return nil
	}
	return q
}

// gridOf reads the scales and zero points of a quantised weight.
func gridOf(t *Tensor) (*Grid, error) {
	q := t.quantization
	g := &Grid{DType: t.DType, Float: q.DType, Axis: q.Axis, BlockSize: q.BlockSize}
	var err error
	if g.Scale, err = q.Scale.Float32s(); err != nil {
		return nil, err
	}
	if q.ZeroPoint != nil {
		if g.Zero, err = q.ZeroPoint.Int64s(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// dequantized returns the values of a quantised weight.
func dequantized(t *Tensor) ([]float32, error) {
	g, err := gridOf(t)
	if err != nil {
		return nil, err
	}
	b, err := readBlock(t)
	if err != nil {
		return nil, err
	}
	x := make([]float32, t.elements)
	group := g.Groups(t.Shape)
	for i := range x {
		x[i] = g.Value(b.integer(t.DType, i), group(i))
	}
	return x, nil
}

// roundToGrid calls yield with each element, the q nearest to it and the value
// that the file gives back for it. A value beyond the grid takes the nearest end
// of it, as with QuantizeLinear: that is no error, for whether the change is an
// improvement is judged with the values as stored.
func (t encoder) roundToGrid(x []float32, yield func(i int, q int64, value float32)) error {
	g, err := gridOf(t.Tensor)
	if err != nil {
		return err
	}
	group := g.Groups(t.Shape)
	for i, v := range x {
		k := group(i)
		q := g.nearest(v, k)
		value := g.Value(q, k)
		if !finite(v) || !finite(value) {
			return t.unstorable(i, v)
		}
		yield(i, q, value)
	}
	return nil
}

// encodeQuantized returns the q nearest to x, side by side as raw_data has them.
func (t encoder) encodeQuantized(x []float32) ([]byte, error) {
	bits := t.DType.Bits()
	b := make([]byte, t.DType.rawBytes(len(x)))
	err := t.roundToGrid(x, func(i int, q int64, _ float32) {
		switch bits {
		case 32:
			binary.LittleEndian.PutUint32(b[4*i:], uint32(q))
		case 16:
			binary.LittleEndian.PutUint16(b[2*i:], uint16(q))
		case 8:
			b[i] = byte(q)
		default: // the first in the lowest bits
			b[i*bits/8] |= byte(q) & (1<<bits - 1) << (i * bits % 8)
		}
	})
	return b, err
}

// Dequantized returns the values that a quantised weight gives back once x has
// been stored with [Edits.Dequantize]: x rounded to [Tensor.ValueType]. Of other
// tensors it is [Tensor.Rounded].
func (t *Tensor) Dequantized(x []float32) ([]float32, error) {
	if t.quantization == nil {
		return t.Rounded(x)
	}
	mustFit(t, x)
	return encoder{t}.roundedTo(t.quantization.DType, x)
}
