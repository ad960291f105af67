package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// Quantization says that an integer tensor is a stored weight: that nothing
// reads it but DequantizeLinear nodes, which all give it the same values.
type Quantization struct {
	Scale     *Tensor
	ZeroPoint *Tensor // nil where it is 0 throughout
	Axis      int     // see [Grid]
	BlockSize int
	DType     DType   // of the values
	Nodes     []*Node // the DequantizeLinear nodes, in topological order

	stored DType // of the integers
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
func (m *Model) findQuantized() {
	found := map[*Tensor]*Quantization{}
	refused := map[*Tensor]bool{}
	for _, n := range m.Nodes {
		for i, value := range n.Inputs {
			t := m.constants[value]
			if t == nil || !t.DType.CanQuantize() || t.elements == 0 || refused[t] {
				continue
			}
			q := m.quantizationBy(n, i, t)
			switch known := found[t]; {
			case q == nil:
				refused[t] = true
			case known == nil:
				found[t] = q
			case known.Scale != q.Scale || known.ZeroPoint != q.ZeroPoint || known.Axis != q.Axis || known.BlockSize != q.BlockSize || known.DType != q.DType:
				refused[t] = true
			default:
				known.Nodes = append(known.Nodes, n)
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
func (m *Model) quantizationBy(n *Node, i int, t *Tensor) *Quantization {
	if i != 0 || !n.Dequantizes() || len(n.Inputs) < 2 || n.Outputs[0] == "" {
		return nil
	}
	q := &Quantization{Scale: m.constants[n.Inputs[1]], Nodes: []*Node{n}, stored: t.DType}
	if q.Scale == nil {
		return nil
	}
	q.DType = DType(n.Int("output_dtype", 0))
	if q.DType == Undefined {
		q.DType = q.Scale.DType
	}
	for _, d := range []DType{q.Scale.DType, q.DType} {
		if d != Float && d != Float16 && d != BFloat16 {
			return nil
		}
	}
	if len(n.Inputs) > 2 && n.Inputs[2] != "" {
		q.ZeroPoint = m.constants[n.Inputs[2]]
		if q.ZeroPoint == nil || q.ZeroPoint.DType != t.DType || q.ZeroPoint.elements != q.Scale.elements {
			return nil
		}
	}
	var err error
	if q.Axis, q.BlockSize, err = GridAxis(t.Shape, q.Scale.Shape, n.Int("axis", 1), n.Int("block_size", 0)); err != nil {
		return nil
	}
	return q
}

// grid reads the scales and zero points of a quantised weight.
func (t *Tensor) grid() (*Grid, error) {
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
func (t *Tensor) dequantized() ([]float32, error) {
	g, err := t.grid()
	if err != nil {
		return nil, err
	}
	b, err := t.read()
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
func (t *Tensor) roundToGrid(x []float32, yield func(i int, q int64, value float32)) error {
	g, err := t.grid()
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
func (t *Tensor) encodeQuantized(x []float32) ([]byte, error) {
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
	t.mustFit(x)
	return t.roundedTo(t.quantization.DType, x)
}

// dequantize adds to s what stores x in a quantised weight as floating-point
// numbers, in raw_data, and makes the nodes that dequantised it an Identity each.
// Names, shapes and the order of everything stay.
func (t *Tensor) dequantize(s *wire.Splice, x []float32) error {
	t.mustFit(x)
	q := t.quantization
	data, err := t.encodeAs(q.DType, x)
	if err != nil {
		return err
	}
	for _, n := range append(slices.Clone(q.Nodes), t.Node) {
		if n != nil && n.inlined {
			return t.fail(fmt.Sprintf("it cannot be stored as %v: %s stands in a function or a branch", q.DType, n.Label()), "store it quantised, without --dequantize")
		}
	}
	t.takeIn(s, data)
	for f := range t.message.Fields() {
		if f.Number() == tensorDType {
			s.Payload(f, protowire.AppendVarint(nil, uint64(q.DType)))
		}
	}
	for _, n := range q.Nodes {
		becomeIdentity(s, n)
	}
	t.redeclare(s)
	return nil
}

// becomeIdentity makes a node an Identity of its first input.
func becomeIdentity(s *wire.Splice, n *Node) {
	inputs := 0
	for f := range n.message.Fields() {
		switch f.Number() {
		case nodeOpType:
			s.Payload(f, []byte("Identity"))
		case nodeInput:
			if inputs++; inputs > 1 {
				s.Fields(f)
			}
		case nodeAttribute, nodeDomain:
			s.Fields(f)
		}
	}
}

// redeclare gives the declarations of the tensor, as an input or a value, its
// new type.
func (t *Tensor) redeclare(s *wire.Splice) {
	for f := range t.model.graph.Fields() {
		if num := f.Number(); num != graphInput && num != graphValueInfo || string(f.Message().Bytes(valueName)) != t.Name {
			continue
		}
		for of := range f.Message().Each(valueType) {
			for tensor := range of.Each(typeTensor) {
				for f := range tensor.Fields() {
					if f.Number() == elemType {
						s.Payload(f, protowire.AppendVarint(nil, uint64(t.quantization.DType)))
					}
				}
			}
		}
	}
}
