package wire_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// FuzzSplice puts a field behind another and one at the end of the message that
// both are in. The new file is well-formed and, but for the lengths of the messages
// around them, longer by the two; taking them out again gives the old fields.
func FuzzSplice(f *testing.F) {
	f.Add(sample(), uint16(3), []byte("new"))
	f.Add(append(padded(7, padded(5, padded(9, []byte("raw")))), padded(14, nil)...), uint16(2), bytes.Repeat([]byte("x"), 300))
	f.Fuzz(func(t *testing.T, data []byte, which uint16, payload []byte) {
		index, err := wire.New(data)
		if err != nil {
			return
		}
		type place struct {
			field wire.Field
			in    wire.Message
		}
		var leaves []place
		add := func(m wire.Message) {
			for x := range m.Fields() {
				if len(leaves) < 1<<12 {
					leaves = append(leaves, place{x, m})
				}
			}
		}
		add(index.Root())
		for _, kind := range []wire.Kind{wire.Graph, wire.Node, wire.Attribute, wire.Tensor, wire.ValueInfo, wire.Entry} {
			for m := range index.Root().All(kind) {
				add(m)
			}
		}
		if len(leaves) == 0 {
			return
		}
		at := leaves[int(which)%len(leaves)]
		offset, length := at.field.Range()
		extra, tail := field(99, payload), field(98, payload)
		s := index.Splice()
		s.After(at.field, extra)
		s.Append(at.in, tail)
		got := slices.Concat(s.Pieces()...)
		after, err := wire.New(got)
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if !bytes.Equal(after.Encode(nil), got) {
			t.Fatal("encodes differently")
		}
		if len(got) < len(data)+len(extra)+len(tail) || !bytes.Contains(got, slices.Concat(data[offset:offset+length], extra)) || !bytes.Contains(got, tail) {
			t.Fatalf("%d bytes from %d, %d and %d", len(got), len(data), len(extra), len(tail))
		}
		// Every message has the fields that it had, in their order.
		before := verbatimLeaves(index)
		kept := slices.DeleteFunc(verbatimLeaves(after), func(b string) bool { return b == string(extra) || b == string(tail) })
		before = slices.DeleteFunc(before, func(b string) bool { return b == string(extra) || b == string(tail) })
		if !slices.Equal(before, kept) {
			t.Fatalf("other fields have changed: %q, was %q", kept, before)
		}
	})
}

// verbatimLeaves returns the fields of tensors, entries and of the model that are no
// messages of a kind that the index knows.
func verbatimLeaves(index *wire.Index) []string {
	var found []string
	for _, kind := range []wire.Kind{wire.Tensor, wire.Entry} {
		for m := range index.Root().All(kind) {
			for x := range m.Fields() {
				if n := x.Number(); kind == wire.Entry || n != 13 && n != 16 {
					found = append(found, string(x.Verbatim()))
				}
			}
		}
	}
	return found
}
