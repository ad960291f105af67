package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func rotaryEntries() []Entry {
	return []Entry{
		{Name: "RotaryEmbedding", Min: 23, Max: MaxOpset, Lower: lowerFormula(lowerRotary)},
		{Domain: microsoft, Name: "RotaryEmbedding", Min: 1, Max: 1, Lower: lowerMicrosoftRotary, Limit: "scale 1"},
	}
}

// lowerRotary rotates pairs of features of x [B, heads, N, d] or, with
// num_heads, [B, N, heads·d], by angles whose cosines and sines are tables
// [positions, r/2] looked up by position ids [B, N], or, without ids, [B, N,
// r/2]: Su et al., https://arxiv.org/abs/2104.09864. The first r features of a
// head take part: as pairs (i, i + r/2), or of neighbours if interleaved.
func lowerRotary(e *emitter) *op.Value {
	x, cos, sin := e.input(0), e.input(1), e.input(2)
	if e.err != nil {
		return nil
	}
	packed := x.Type.Rank() == 3
	x = e.heads(x, "num_heads")
	if e.err == nil && x.Type.Rank() != 4 {
		e.fail("expected [batch, heads, tokens, features], found %v", x.Type)
	}
	if ids := e.arg(3); ids != nil {
		cos, sin = e.rowsOf(cos, ids), e.rowsOf(sin, ids)
	}
	if e.err != nil {
		return nil
	}
	s := x.Type.Shape
	features := s[3]
	rotated := int(e.Node.Int("rotary_embedding_dim", 0))
	if rotated == 0 {
		rotated = features
	}
	half := rotated / 2
	if rotated < 2 || rotated > features || rotated%2 != 0 || cos.Type.Rank() != 3 || cos.Type.Shape[2] < half {
		e.fail("expected an even number of features, at most %d, and tables of half of it, found %d and %v", features, rotated, cos.Type)
		return nil
	}
	table := func(v *op.Value) *op.Value {
		v = e.part(v, 2, 0, half)
		if e.err != nil {
			return nil
		}
		return e.emit(op.Reshape{Shape: []int{v.Type.Shape[0], 1, v.Type.Shape[1], half}}, v)
	}
	cos, sin = table(cos), table(sin)
	head, interleaved := e.part(x, 3, 0, rotated), e.Node.Int("interleaved", 0) != 0
	var a, b *op.Value
	if interleaved {
		pairs := e.emit(op.Reshape{Shape: []int{s[0], s[1], s[2], half, 2}}, head)
		whole := []int{s[0], s[1], s[2], half}
		a = e.emit(op.Reshape{Shape: whole}, e.part(pairs, 4, 0, 1))
		b = e.emit(op.Reshape{Shape: whole}, e.part(pairs, 4, 1, 1))
	} else {
		a, b = e.part(head, 3, 0, half), e.part(head, 3, half, half)
	}
	real := e.emit(op.Sub{}, e.emit(op.Mul{}, cos, a), e.emit(op.Mul{}, sin, b))
	imaginary := e.emit(op.Add{}, e.emit(op.Mul{}, sin, a), e.emit(op.Mul{}, cos, b))
	var y *op.Value
	if interleaved {
		apart := []int{s[0], s[1], s[2], half, 1}
		y = e.emit(op.Concat{Axis: 4}, e.emit(op.Reshape{Shape: apart}, real), e.emit(op.Reshape{Shape: apart}, imaginary))
		y = e.emit(op.Reshape{Shape: []int{s[0], s[1], s[2], rotated}}, y)
	} else {
		y = e.emit(op.Concat{Axis: 3}, real, imaginary)
	}
	if rotated < features {
		y = e.emit(op.Concat{Axis: 3}, y, e.part(x, 3, rotated, features-rotated))
	}
	if packed {
		y = e.joinHeads(y)
	}
	return y
}

// rowsOf looks up rows of a table.
func (e *emitter) rowsOf(table, ids *op.Value) *op.Value {
	if e.err != nil {
		return nil
	}
	var v *op.Value
	v, e.err = e.gather(table, ids, 0)
	return v
}

// lowerMicrosoftRotary: (x, position ids, cosines, sines), the form from which
// ai.onnx took the operator. Ids of one element are the first token's position.
func lowerMicrosoftRotary(c *Call) ([]*op.Value, error) {
	if err := refuse(c, nil, "is_packed_batching"); err != nil {
		return nil, err
	}
	if scale := c.attribute("scale", 1); scale != 1 {
		return nil, fmt.Errorf("attribute scale=%v is not supported", scale)
	}
	e := &emitter{Call: c}
	x, ids, cos, sin := e.input(0), e.input(1), e.input(2), e.input(3)
	if e.err != nil {
		return nil, e.err
	}
	if x.Type.Rank() != 3 && x.Type.Rank() != 4 {
		return nil, fmt.Errorf("expected [batch, tokens, features] or [batch, heads, tokens, features], found %v", x.Type)
	}
	if cos.Type.Rank() != 2 {
		return nil, fmt.Errorf("expected tables [positions, features/2], found %v", cos.Type)
	}
	batch, tokens := x.Type.Shape[0], x.Type.Shape[x.Type.Rank()-2]
	if ids.Type.Elements() == 1 && op.ClassOf(ids.Type.DType) == op.ClassInt {
		steps := e.Constant(op.Array{Type: ids.Type.With(1, tokens), Data: count(tokens)})
		ids = e.emit(op.Add{}, e.view(ids, shapes.Ones(2)), steps)
		ids = e.broadcastTo(ids, []int{batch, tokens})
	}
	moved := *c
	moved.In = []*op.Value{x, cos, sin, ids}
	if e.err != nil {
		return nil, e.err
	}
	return lowerFormula(lowerRotary)(&moved)
}
