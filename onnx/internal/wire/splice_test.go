package wire_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// field returns a field of bytes, its numbers as short as possible.
func field(num protowire.Number, payload ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), slices.Concat(payload...))
}

// find returns the first field of a message with that number.
func find(t *testing.T, m wire.Message, num protowire.Number) wire.Field {
	t.Helper()
	for f := range m.Fields() {
		if f.Number() == num {
			return f
		}
	}
	t.Fatalf("no field %d", num)
	return wire.Field{}
}

func splice(t *testing.T, data []byte, edit func(s *wire.Splice, root wire.Message)) []byte {
	t.Helper()
	before := slices.Clone(data)
	index, err := wire.New(data)
	if err != nil {
		t.Fatal(err)
	}
	s := index.Splice()
	edit(s, index.Root())
	got := slices.Concat(s.Pieces()...)
	if again := slices.Concat(s.Pieces()...); !bytes.Equal(got, again) {
		t.Error("a second call gives something else")
	}
	if !bytes.Equal(data, before) {
		t.Error("the file in memory has changed")
	}
	if _, err := wire.New(got); err != nil {
		t.Errorf("the result is not well-formed: %v", err)
	}
	return got
}

func TestSplice(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 200)
	name := func(s string) []byte { return field(8, []byte(s)) }
	model := func(tensors ...[]byte) []byte {
		return slices.Concat([]byte{0x08, 0x0a}, field(7, tensors...), field(14, field(1, []byte("k"))))
	}
	tensor := func(root wire.Message) wire.Message { return find(t, find(t, root, 7).Message(), 5).Message() }
	data := model(field(5, name("a")), field(5, name("b")))
	for _, c := range []struct {
		name string
		edit func(s *wire.Splice, root wire.Message)
		want []byte
	}{
		{"nothing", func(*wire.Splice, wire.Message) {}, data},
		{"payload of the same length", func(s *wire.Splice, root wire.Message) { s.Payload(find(t, tensor(root), 8), []byte("c")) },
			model(field(5, name("c")), field(5, name("b")))},
		{"longer payload", func(s *wire.Splice, root wire.Message) { s.Payload(find(t, tensor(root), 8), long) },
			model(field(5, name(string(long))), field(5, name("b")))},
		{"empty payload", func(s *wire.Splice, root wire.Message) { s.Payload(find(t, tensor(root), 8), nil) },
			model(field(5, name("")), field(5, name("b")))},
		{"field removed", func(s *wire.Splice, root wire.Message) { s.Fields(find(t, tensor(root), 8)) },
			model(field(5), field(5, name("b")))},
		{"fields in pieces", func(s *wire.Splice, root wire.Message) {
			s.Fields(find(t, tensor(root), 8), name("c")[:2], name("c")[2:], name("d"))
		}, model(field(5, name("c"), name("d")), field(5, name("b")))},
		{"after", func(s *wire.Splice, root wire.Message) {
			f := find(t, find(t, root, 7).Message(), 5)
			s.After(f, field(5, name("c")))
			s.After(f, field(5, name("d")))
		}, model(field(5, name("a")), field(5, name("c")), field(5, name("d")), field(5, name("b")))},
		{"after a changed field", func(s *wire.Splice, root wire.Message) {
			f := find(t, tensor(root), 8)
			s.Payload(f, nil)
			s.After(f, name("c"))
		}, model(field(5, name(""), name("c")), field(5, name("b")))},
		{"append at each level", func(s *wire.Splice, root wire.Message) {
			s.Append(tensor(root), name("c"))
			s.Append(find(t, root, 7).Message(), field(10, long))
			s.Append(root, field(14))
			s.Append(root, []byte{0x28, 0x01})
		}, slices.Concat([]byte{0x08, 0x0a}, field(7, field(5, name("a"), name("c")), field(5, name("b")), field(10, long)),
			field(14, field(1, []byte("k"))), field(14), []byte{0x28, 0x01})},
		{"number replaced", func(s *wire.Splice, root wire.Message) { s.Payload(find(t, root, 1), []byte{0x80, 0x01}) },
			slices.Concat([]byte{0x08, 0x80, 0x01}, data[2:])},
		{"first and last", func(s *wire.Splice, root wire.Message) {
			s.Fields(find(t, root, 1))
			s.Append(find(t, root, 14).Message(), field(2, []byte("v")))
		}, slices.Concat(data[2:len(data)-5], field(14, field(1, []byte("k")), field(2, []byte("v"))))},
	} {
		if got := splice(t, data, c.edit); !bytes.Equal(got, c.want) {
			t.Errorf("%s:\n%x, expected\n%x", c.name, got, c.want)
		}
	}
}

// TestSpliceKeepsPadding changes a name in messages with padded tags and
// lengths, which keep their width.
func TestSpliceKeepsPadding(t *testing.T) {
	wide := func(name string) []byte { return padded(7, padded(5, padded(8, []byte(name)))) }
	data := wide("name")
	edit := func(to string) []byte {
		return splice(t, data, func(s *wire.Splice, root wire.Message) {
			s.Payload(find(t, find(t, find(t, root, 7).Message(), 5).Message(), 8), []byte(to))
		})
	}
	for _, to := range []string{"", "n", "name", "a longer name"} {
		if got := edit(to); !bytes.Equal(got, wide(to)) {
			t.Errorf("%q:\n%x, expected\n%x", to, got, wide(to))
		}
	}
	// A length that does not fit any more is written in the bytes it needs.
	index, err := wire.New(edit(string(make([]byte, 1<<15))))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(find(t, find(t, index.Root(), 7).Message(), 5).Header()); n != 3+3 {
		t.Errorf("a header of %d bytes", n)
	}
}

func TestWalk(t *testing.T) {
	index, err := wire.New(sample())
	if err != nil {
		t.Fatal(err)
	}
	count := func(k wire.Kind) (n int) {
		for m := range index.Root().All(k) {
			if m.Kind() != k {
				t.Errorf("a %v among those of kind %v", m.Kind(), k)
			}
			n++
		}
		return n
	}
	if tensors, entries, nodes := count(wire.Tensor), count(wire.Entry), count(wire.Node); tensors != 6 || entries != 2+3 || nodes != 1 {
		t.Errorf("%d tensors, %d entries, %d nodes", tensors, entries, nodes)
	}
	for range index.Root().All(wire.Tensor) {
		break // stopping early must not panic
	}
	if got := wire.Graph.FieldName(5) + " " + wire.Graph.FieldName(99); got != "initializer field 99" {
		t.Errorf("names %q", got)
	}
}
