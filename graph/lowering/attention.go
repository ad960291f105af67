package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Attention operators are lowered to products and a Softmax; the fused Op is
// recognised later, as it is in models that spell attention out.

func attentionEntries() []Entry {
	return []Entry{
		{Name: "Attention", Min: 23, Max: MaxOpset, Lower: lowerAttention},
		{Domain: microsoft, Name: "Attention", Min: 1, Max: 1, Lower: lowerPackedAttention, Limit: "without masks and caches; not causal"},
		{Domain: microsoft, Name: "MultiHeadAttention", Min: 1, Max: 1, Lower: lowerMultiHeadAttention, Limit: "without padding masks and caches; query, key and value apart"},
	}
}

// lowerAttention: (Q, K, V, mask, past key, past value, number of keys that are
// not padding) → (Y, present key, present value, scores).
func lowerAttention(c *Call) ([]*op.Value, error) {
	e := &emitter{Call: c}
	q, k, v := e.input(0), e.input(1), e.input(2)
	if e.err != nil {
		return nil, e.err
	}
	packed := q.Type.Rank() == 3
	q = e.heads(q, "q_num_heads")
	k, v = e.heads(k, "kv_num_heads"), e.heads(v, "kv_num_heads")
	past := 0
	if e.err == nil && (c.arg(4) != nil || c.arg(5) != nil) {
		pastKey, pastValue := e.input(4), e.input(5)
		k, v = e.emit(op.Concat{Axis: 2}, pastKey, k), e.emit(op.Concat{Axis: 2}, pastValue, v)
		if e.err == nil {
			past = pastKey.Type.Shape[2]
		}
	}
	if e.err != nil {
		return nil, e.err
	}
	a := attentionMask{emitter: e, queries: q.Type.Shape[2], keys: k.Type.Shape[2], past: past}
	presentKey, presentValue := k, v
	k, v = e.repeatHeads(k, q.Type.Shape[1]), e.repeatHeads(v, q.Type.Shape[1])

	scale := 1.0
	if e.err == nil {
		scale = c.attribute("scale", float32(1/math.Sqrt(float64(q.Type.Shape[3]))))
	}
	if scale == 0 {
		return nil, fmt.Errorf("scale 0 is not supported")
	}
	scores := e.emit(op.MatMul{TransB: true, Alpha: scale}, q, k)
	byMode := [4]*op.Value{scores} // what qk_matmul_output_mode chooses among
	if limit := c.attribute("softcap", 0); limit != 0 && e.err == nil {
		scores = e.emit(op.Mul{}, e.emit(op.Tanh{}, e.emit(op.Div{}, scores, e.scalar(scores, limit))), e.scalar(scores, limit))
	}
	byMode[1] = scores
	bias := a.bias(scores)
	if bias != nil {
		scores = e.emit(op.Add{}, scores, bias)
	}
	byMode[2] = scores
	weights := e.softmax(scores)
	if bias != nil {
		weights = e.unattended(weights, bias)
	}
	byMode[3] = weights
	y := e.emit(op.MatMul{}, weights, v)
	if packed {
		y = e.joinHeads(y)
	}
	if e.err != nil {
		return nil, e.err
	}
	mode := c.Node.Int("qk_matmul_output_mode", 0)
	if mode < 0 || mode > 3 {
		return nil, fmt.Errorf("expected qk_matmul_output_mode 0 to 3, found %d", mode)
	}
	return []*op.Value{y, presentKey, presentValue, byMode[mode]}, nil
}

// heads brings [B, N, heads·d] to [B, heads, N, d]; a tensor of rank 4 is that
// already. The number of heads is an attribute.
func (e *emitter) heads(v *op.Value, attribute string) *op.Value {
	if e.err != nil || v.Type.Rank() == 4 {
		return v
	}
	heads := int(e.Node.Int(attribute, 0))
	if v.Type.Rank() != 3 || heads < 1 || v.Type.Shape[2]%heads != 0 {
		e.fail("expected [batch, tokens, features] with a multiple of %s=%d features, found %v", attribute, heads, v.Type)
		return nil
	}
	return e.splitHeads(v, heads)
}

func (e *emitter) splitHeads(v *op.Value, heads int) *op.Value {
	if e.err != nil {
		return nil
	}
	s := v.Type.Shape
	v = e.emit(op.Reshape{Shape: []int{s[0], s[1], heads, s[2] / heads}}, v)
	return e.emit(op.Transpose{Perm: []int{0, 2, 1, 3}}, v)
}

// joinHeads brings [B, heads, N, d] to [B, N, heads·d].
func (e *emitter) joinHeads(v *op.Value) *op.Value {
	if e.err != nil {
		return nil
	}
	s := v.Type.Shape
	v = e.emit(op.Transpose{Perm: []int{0, 2, 1, 3}}, v)
	return e.emit(op.Reshape{Shape: []int{s[0], s[2], s[1] * s[3]}}, v)
}

// repeatHeads gives every group of query heads a copy of its key or value head.
func (e *emitter) repeatHeads(v *op.Value, heads int) *op.Value {
	if e.err != nil || v.Type.Shape[1] == heads {
		return v
	}
	s := v.Type.Shape
	if s[1] == 0 || heads%s[1] != 0 {
		e.fail("expected a multiple of the %d key and value heads, found %d query heads", s[1], heads)
		return nil
	}
	each := heads / s[1]
	v = e.emit(op.Reshape{Shape: []int{s[0], s[1], 1, s[2], s[3]}}, v)
	v = e.emit(op.Expand{Shape: []int{s[0], s[1], each, s[2], s[3]}}, v)
	return e.emit(op.Reshape{Shape: []int{s[0], heads, s[2], s[3]}}, v)
}

// softmax is along the last axis.
func (e *emitter) softmax(v *op.Value) *op.Value {
	if e.err != nil {
		return nil
	}
	return e.emit(op.Softmax{Axis: v.Type.Rank() - 1}, v)
}

// attentionMask makes what is added to the scores [B, heads, queries, keys] of
// ai.onnx's Attention.
type attentionMask struct {
	*emitter
	queries, keys int
	past          int // keys before those of the queries' own block
}

// bias returns the sum of the mask, the causal frontier, the window and the
// padding, or nil where nothing is masked.
func (a attentionMask) bias(like *op.Value) *op.Value {
	var bias *op.Value
	add := func(v *op.Value) {
		switch {
		case v == nil || a.err != nil:
		case bias == nil:
			bias = v
		default:
			bias = a.emit(op.Add{}, bias, v)
		}
	}
	if a.err != nil {
		return nil
	}
	if mask := a.arg(3); mask != nil {
		add(a.additive(a.padded(mask), like))
	}
	lengths, err := a.knownInts(6, "nonpad_kv_seqlen")
	if err != nil {
		a.err = err
		return nil
	}
	left, right := a.Node.Int("left_window_size", -1), a.Node.Int("right_window_size", -1)
	if a.Node.Int("is_causal", 0) != 0 {
		right = 0 // the narrowest window that there is
	}
	if left >= 0 || right >= 0 || lengths != nil {
		add(a.additive(a.frontier(lengths, left, right), like))
	}
	return bias
}

// padded appends keys that are masked out to a mask that has too few.
func (a attentionMask) padded(mask *op.Value) *op.Value {
	shape := mask.Type.Shape
	last := len(shape) - 1
	if last < 0 || shape[last] == a.keys || shape[last] == 1 {
		return mask
	}
	if shape[last] > a.keys {
		a.fail("expected a mask for %d keys, found %v", a.keys, mask.Type)
		return nil
	}
	var fill op.Array
	if fill, a.err = a.NewArray(mask.Type.With(shapes.Replaced(shape, last, a.keys-shape[last])...)); a.err != nil {
		return nil
	}
	if mask.Type.DType.IsFloat() { // of truth values false masks out, as it is
		for i := range fill.Elements() {
			fill.Set(i, math.Inf(-1))
		}
	}
	return a.emit(op.Concat{Axis: last}, mask, a.Constant(fill))
}

// additive turns a BOOL mask, true where a key is attended, into 0 and -Inf.
func (a attentionMask) additive(mask, like *op.Value) *op.Value {
	if a.err != nil || mask.Type.DType != onnx.Bool {
		return mask
	}
	return a.emit(op.Where{}, mask, a.scalar(like, 0), a.scalar(like, math.Inf(-1)))
}

// frontier is the BOOL mask of keys within a window around each query's position
// (-1: unbounded) and, where lengths are given for each example, not padding.
// The queries come after past keys or, with lengths, are the last of them.
func (a attentionMask) frontier(lengths []int64, left, right int64) *op.Value {
	examples := max(1, len(lengths))
	out, err := a.NewArray(op.Type{DType: onnx.Bool, Shape: []int{examples, 1, a.queries, a.keys}})
	if err != nil {
		a.err = err
		return nil
	}
	mask := op.Elem[bool](out)[:0]
	for b := range examples {
		offset, n := int64(a.past), int64(a.keys)
		if lengths != nil {
			offset, n = lengths[b]-int64(a.queries), lengths[b]
		}
		for i := range int64(a.queries) {
			for j := range int64(a.keys) {
				p := offset + i
				mask = append(mask, j < n && (left < 0 || j >= p-left) && (right < 0 || j <= p+right))
			}
		}
	}
	return a.Constant(out)
}

// unattended gives zero weights to queries that may attend no key, where Softmax
// gives NaN. A mask that is known to have no such query is left alone.
func (e *emitter) unattended(weights, bias *op.Value) *op.Value {
	if e.err != nil {
		return nil
	}
	top := e.emit(op.Reduce{By: op.ReduceMax, Axes: []int{bias.Type.Rank() - 1}, KeepDims: true}, bias)
	none := e.emit(op.Equal{}, top, e.scalar(bias, math.Inf(-1)))
	if e.err != nil || none.Const != nil && !slices.Contains(op.Elem[bool](*none.Const), true) {
		return weights
	}
	return e.emit(op.Where{}, none, e.scalar(weights, 0), weights)
}

// lowerPackedAttention: com.microsoft.Attention, (x [B, N, C], W [C, q+k+v],
// bias, -, -, attention bias) → rows of the heads. Masks and caches are not
// supported.
func lowerPackedAttention(c *Call) ([]*op.Value, error) {
	e := &emitter{Call: c}
	x, w, bias := e.input(0), e.input(1), c.arg(2)
	heads := int(c.Node.Int("num_heads", 0))
	if err := refuse(c, []string{3: "mask_index", 4: "past", 6: "past_sequence_length"}, "unidirectional", "do_rotary"); err != nil {
		return nil, err
	}
	if e.err != nil {
		return nil, e.err
	}
	if x.Type.Rank() != 3 || w.Type.Rank() != 2 {
		return nil, fmt.Errorf("expected rows [batch, tokens, features] and a matrix, found %v and %v", x.Type, w.Type)
	}
	sizes := slices.Repeat([]int{w.Type.Shape[1] / 3}, 3)
	if v := c.Node.Ints("qkv_hidden_sizes"); len(v) > 0 {
		var err error
		if sizes, err = shapes.Sizes(v); err != nil {
			return nil, fmt.Errorf("qkv_hidden_sizes: %w", err)
		}
	}
	if len(sizes) != 3 || sizes[0]+sizes[1]+sizes[2] != w.Type.Shape[1] || sizes[0] != sizes[1] || heads < 1 || sizes[0]%heads != 0 || sizes[2]%heads != 0 {
		return nil, fmt.Errorf("expected columns for query, key and value of %d heads, found sizes %v for %v", heads, sizes, w.Type)
	}
	in := []*op.Value{x, w}
	if bias != nil {
		in = append(in, bias)
	}
	rows := e.emit(op.Linear{}, in...)
	var qkv [3]*op.Value
	at := 0
	for i, size := range sizes {
		part := e.emit(op.Slice{Starts: []int{0, 0, at}, Sizes: []int{x.Type.Shape[0], x.Type.Shape[1], size}, Steps: []int{1, 1, 1}}, rows)
		qkv[i] = e.splitHeads(part, heads)
		at += size
	}
	return one(e.attend(qkv, c.arg(5)), e.err)
}

// refuse returns an error for inputs that are present and integer attributes
// that are not zero: what they ask for is not supported.
func refuse(c *Call, inputs []string, attributes ...string) error {
	for i, name := range inputs {
		if name != "" && c.arg(i) != nil {
			return fmt.Errorf("input %d (%s) is not supported", i, name)
		}
	}
	for _, name := range attributes {
		if v := c.Node.Int(name, 0); v != 0 {
			return fmt.Errorf("attribute %s=%d is not supported", name, v)
		}
	}
	return nil
}

// attend is softmax(scale·q·kᵀ + bias)·v, the scale from the attribute, with
// the heads joined.
func (e *emitter) attend(qkv [3]*op.Value, bias *op.Value) *op.Value {
	if e.err != nil {
		return nil
	}
	scale := e.attribute("scale", 0)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(qkv[0].Type.Shape[3]))
	}
	scores := e.emit(op.MatMul{TransB: true, Alpha: scale}, qkv[0], qkv[1])
	if bias != nil {
		scores = e.emit(op.Add{}, scores, bias)
	}
	return e.joinHeads(e.emit(op.MatMul{}, e.softmax(scores), qkv[2]))
}

// lowerMultiHeadAttention: (query, key, value [B, N, C], bias over all three, -,
// attention bias) → rows of the heads. Keys and values may also come with the
// heads apart, [B, heads, M, d]. Packed layouts, key padding and caches are not
// supported.
func lowerMultiHeadAttention(c *Call) ([]*op.Value, error) {
	if err := refuse(c, []string{4: "key_padding_mask", 6: "past_key", 7: "past_value", 8: "past_sequence_length", 9: "cache_indirection"}, "unidirectional"); err != nil {
		return nil, err
	}
	e := &emitter{Call: c}
	heads := int(c.Node.Int("num_heads", 0))
	var qkv [3]*op.Value
	at := 0
	for i := range qkv {
		v := e.input(i)
		if e.err != nil {
			return nil, fmt.Errorf("%w: query, key and value packed in one input are not supported", e.err)
		}
		if v.Type.Rank() == 4 && i > 0 {
			qkv[i] = v
			continue
		}
		if v.Type.Rank() != 3 || heads < 1 || v.Type.Shape[2]%heads != 0 {
			return nil, fmt.Errorf("expected [batch, tokens, features] for %d heads, found %v", heads, v.Type)
		}
		width := v.Type.Shape[2]
		if bias := c.arg(3); bias != nil {
			v = e.emit(op.Add{}, v, e.emit(op.Slice{Starts: []int{at}, Sizes: []int{width}, Steps: []int{1}}, bias))
			at += width
		}
		qkv[i] = e.splitHeads(v, heads)
	}
	return one(e.attend(qkv, c.arg(5)), e.err)
}
