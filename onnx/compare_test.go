package onnx_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func compare(t *testing.T, a, b *onnx.Model) *onnx.Comparison {
	t.Helper()
	c, err := onnx.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reported counts what a comparison lists.
func reported(c *onnx.Comparison) int {
	return len(c.Tensors) + len(c.Nodes) + len(c.Metadata) + len(c.Fields)
}

// full returns a file with tensors in every form, attributes, metadata at every
// level, padded numbers and unknown fields.
func full() []byte {
	half, halfInts := bits16(onnx.NarrowFloat16)
	shape := []int{2, 3}
	b := onnxtest.New(20)
	b.Producer("producer", "1")
	b.Metadata("key", "value")
	b.Metadata("other", "")
	b.Input("x", onnx.Float, "batch", 2, 3)
	b.Initializer(onnxtest.Tensor("raw", onnx.Float, shape).Raw(raw32()).Field(12, []byte("doc")))
	b.Initializer(onnxtest.PackedDims("floats", onnx.Float, shape).Floats(floats...))
	b.Initializer(onnxtest.Tensor("unpacked", onnx.Float, shape).Packed(false).Floats(floats...))
	b.Initializer(onnxtest.Tensor("half", onnx.Float16, shape).Raw(half))
	b.Initializer(onnxtest.Tensor("int32s", onnx.Float16, shape).Int32s(halfInts...))
	b.Initializer(onnxtest.Tensor("int4", onnx.Int4, []int{3}).Int32s(0x7f, 0x08))
	b.Initializer(onnxtest.Tensor("shape", onnx.Int64, []int{2}).Packed(false).Int64s(-1, 6))
	b.Constant("constant", onnxtest.Tensor("inner", onnx.Double, []int{1}).Doubles(1))
	b.Node("Constant", nil, []string{"list"}, onnxtest.Floats("value_floats", 1, 2))
	b.Node("Constant", nil, []string{"number"}, onnxtest.Int("value_int", 3))
	b.Node("Constant", nil, []string{"text"}, onnxtest.String("value_string", "text"))
	b.Node("Sum", []string{"x", "raw", "floats", "unpacked"}, []string{"y"}, onnxtest.Int("i", 1), onnxtest.Float("f", 2), onnxtest.Graph("g", []byte("\x12\x01g"))).Name("sum").Metadata("k", "v")
	b.Output("y", onnx.Float, "batch", 2, 3)
	b.GraphField(10, []byte("text of the graph"))
	b.ModelField(99, []byte("a field of a later version"))
	b.ModelField(25, []byte("\x0a\x01f\x52\x05local"))
	return b.Bytes()
}

// TestCompareEveryByte changes each byte of a file in turn. Whatever still is a
// model must be reported to differ, both ways round.
func TestCompareEveryByte(t *testing.T) {
	before := full()
	a, err := onnx.Parse(before, "")
	if err != nil {
		t.Fatal(err)
	}
	if c := compare(t, a, a); !c.Same || reported(c) > 0 || c.BytesChanged != 0 {
		t.Errorf("a file differs from itself: %+v", c)
	}
	parsed := 0
	for i := range before {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
			after := slices.Clone(before)
			after[i] ^= flip
			b, err := onnx.Parse(after, "")
			if err != nil {
				continue
			}
			parsed++
			forth, back := compare(t, a, b), compare(t, b, a)
			for _, c := range []*onnx.Comparison{forth, back} {
				if c.Same || reported(c) == 0 || c.BytesChanged+c.BytesRemoved == 0 {
					t.Errorf("byte %d, bit %#x: %+v", i, flip, c)
				}
			}
			if forth.BytesChanged != back.BytesRemoved || forth.BytesRemoved != back.BytesChanged {
				t.Errorf("byte %d: %d and %d bytes, the other way round %d and %d", i, forth.BytesChanged, forth.BytesRemoved, back.BytesChanged, back.BytesRemoved)
			}
		}
	}
	if parsed < 2*len(before) {
		t.Errorf("only %d changed files could be read", parsed)
	}
}

// FuzzCompare states that two models are the same if and only if their files
// are, that what differs is listed, and that the order of the two only swaps
// the counts. The second file is the first with some bytes changed: changes holds
// their places, two bytes each, and what is added there.
func FuzzCompare(f *testing.F) {
	f.Add(full(), []byte{0, 1, 1})
	f.Add(full(), []byte{0, 40, 1, 1, 0, 3, 1, 80, 2})
	f.Add(build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32())).Bytes(), []byte{0, 60, 1})
	f.Fuzz(func(t *testing.T, dataA, changes []byte) {
		if len(dataA) == 0 {
			return
		}
		dataB := slices.Clone(dataA)
		for ; len(changes) >= 3; changes = changes[3:] {
			dataB[(int(changes[0])<<8|int(changes[1]))%len(dataB)] += changes[2]
		}
		a, err := onnx.Parse(dataA, "")
		if err != nil {
			return
		}
		b, err := onnx.Parse(dataB, "")
		if err != nil {
			return
		}
		forth, err := onnx.Compare(a, b)
		if err != nil {
			return // external data
		}
		back := compare(t, b, a)
		equal := bytes.Equal(dataA, dataB)
		if forth.Same != equal || back.Same != equal || (reported(forth) == 0) != equal {
			t.Fatalf("equal %v, but %+v", equal, forth)
		}
		if forth.BytesChanged != back.BytesRemoved || forth.BytesRemoved != back.BytesChanged {
			t.Fatalf("%d and %d bytes, the other way round %d and %d", forth.BytesChanged, forth.BytesRemoved, back.BytesChanged, back.BytesRemoved)
		}
		if forth.BytesChanged > int64(len(dataB)) || forth.BytesRemoved > int64(len(dataA)) {
			t.Fatalf("more bytes differ than there are: %+v", forth)
		}
	})
}

// TestCompareReports looks at what is said about changes of each kind.
func TestCompareReports(t *testing.T) {
	small := func(change func(*onnxtest.Builder), w *onnxtest.TensorProto) *onnx.Model {
		b := onnxtest.New(20)
		b.Input("x", onnx.Float, "batch", 2, 3)
		b.Initializer(w)
		b.Constant("c", onnxtest.Tensor("", onnx.Float, []int{1}).Raw([]byte{0, 0, 0x80, 0x3f}))
		b.Node("Add", []string{"x", "w"}, []string{"s"}, onnxtest.Int("axis", 1)).Name("add")
		b.Node("Mul", []string{"s", "c"}, []string{"y"})
		b.Output("y", onnx.Float, "batch", 2, 3)
		change(b)
		return parse(t, b)
	}
	raw := func() *onnxtest.TensorProto { return onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()) }
	none := func(*onnxtest.Builder) {}
	a := small(none, raw())
	for _, c := range []struct {
		name string
		b    *onnx.Model
		want []string
	}{
		{"value", small(none, onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(append([]byte{0, 0, 0x80, 0x3f}, raw32()[4:]...))), []string{"tensor w: 1 of 6 values"}},
		{"storage", small(none, onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Floats(floats...)), []string{"tensor w: stored as raw_data → float_data"}},
		{"shape", small(none, onnxtest.Tensor("w", onnx.Float, []int{3, 2}).Raw(raw32())), []string{"tensor w: shape [2 3] → [3 2]"}},
		{"packed dims", small(none, onnxtest.PackedDims("w", onnx.Float, []int{2, 3}).Raw(raw32())), []string{"tensor w: dims: packed in one of the files only"}},
		{"text", small(none, raw().Field(12, []byte("doc"))), []string{`tensor w: doc_string: "doc" only in the second file`}},
		{"added", small(func(b *onnxtest.Builder) { b.Float("u", []int{1}, []float32{1}) }, raw()), []string{"tensor u: added"}},
		{"node", small(func(b *onnxtest.Builder) { b.Node("Neg", []string{"y"}, []string{"z"}) }, raw()), []string{`node #3 (Neg, output "z"): added`}},
		{"metadata", small(func(b *onnxtest.Builder) { b.Metadata("k", "v") }, raw()), []string{`metadata k: added "" → "v"`}},
		{"opset", small(func(b *onnxtest.Builder) { b.Domain("com.microsoft", 1) }, raw()), []string{`opset_import["com.microsoft"]: 17 bytes only in the second file`}},
		{"producer", small(func(b *onnxtest.Builder) { b.Producer("me", "") }, raw()), []string{`producer_name: "onnxtest" → "me"`}},
		{"output", small(func(b *onnxtest.Builder) { b.Output("s", onnx.Float, 1) }, raw()), []string{`graph.output["s"]: `}},
	} {
		got := lines(compare(t, a, c.b))
		for i, line := range got {
			if i >= len(c.want) || !strings.Contains(line, c.want[i]) {
				t.Errorf("%s: %q, expected %q", c.name, got, c.want)
				break
			}
		}
		if len(got) == 0 {
			t.Errorf("%s: nothing is reported", c.name)
		}
	}
}

// lines returns what a comparison says, one line for each thing.
func lines(c *onnx.Comparison) (all []string) {
	for _, t := range c.Tensors {
		if t.Presence != onnx.InBoth {
			all = append(all, "tensor "+t.Name+": "+string(t.Presence))
		}
		for _, s := range t.Changes {
			all = append(all, "tensor "+t.Name+": "+s)
		}
	}
	for _, n := range c.Nodes {
		if n.Presence != onnx.InBoth {
			all = append(all, n.Label+": "+string(n.Presence))
		}
		for _, s := range n.Changes {
			all = append(all, n.Label+": "+s)
		}
	}
	for _, m := range c.Metadata {
		all = append(all, "metadata "+m.Key+": "+string(m.Presence)+` "`+m.Before+`" → "`+m.After+`"`)
	}
	return append(all, c.Fields...)
}
