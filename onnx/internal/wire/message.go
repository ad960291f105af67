package wire

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// Message is one message of the file: a view of the index, cheap to copy.
// The zero Message has no fields.
type Message struct {
	ix          *Index
	first, last uint32 // its records: first ≤ i < last
	start, end  uint32 // its body in the file
	kind        Kind
}

// Kind returns what the message is, Leaf for the zero Message.
func (m Message) Kind() Kind { return m.kind }

// Root returns the ModelProto.
func (ix *Index) Root() Message {
	return Message{ix: ix, last: uint32(len(ix.records)), end: uint32(len(ix.data)), kind: Model}
}

// Range returns the offset and the length, in bytes, of the message's body.
func (m Message) Range() (offset, length int64) { return int64(m.start), int64(m.end - m.start) }

// Fields returns the message's fields in file order. A run of unpacked
// elements is one field.
func (m Message) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := m.first; i < m.last; i = m.ix.records[i].next {
			if !yield(Field{m.ix, i, m.kind}) {
				return
			}
		}
	}
}

// All returns the messages of kind k in m, at any depth, in file order.
func (m Message) All(k Kind) iter.Seq[Message] {
	return func(yield func(Message) bool) { m.all(k, yield) }
}

func (m Message) all(k Kind, yield func(Message) bool) bool {
	for f := range m.Fields() {
		child := f.Message()
		if child.kind == k && !yield(child) || child.kind != Leaf && !child.all(k, yield) {
			return false
		}
	}
	return true
}

// Each returns the messages in field num, in file order.
func (m Message) Each(num protowire.Number) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for f := range m.Fields() {
			if f.Number() == num && !yield(f.Message()) {
				return
			}
		}
	}
}

// Bytes returns field num's last occurrence, which is the one that counts in
// protobuf, or nil. The bytes are the file's own.
func (m Message) Bytes(num protowire.Number) []byte {
	var b []byte
	for f := range m.Fields() {
		if f.Number() == num {
			b = f.Bytes()
		}
	}
	return b
}

// Uint returns field num's last occurrence as a number, 0 where it is absent.
func (m Message) Uint(num protowire.Number) uint64 {
	var v uint64
	for f := range m.Fields() {
		if f.Number() == num {
			v = 0
			for v = range f.Run().Uints() { // the last counts, in a run too
			}
		}
	}
	return v
}

// Has reports whether field num occurs.
func (m Message) Has(num protowire.Number) bool {
	for f := range m.Fields() {
		if f.Number() == num {
			return true
		}
	}
	return false
}

// Field is one field of a message, or a run of unpacked elements of one.
type Field struct {
	ix     *Index
	i      uint32
	parent Kind // of the message that it is in
}

func (f Field) record() record { return f.ix.records[f.i] }

func (f Field) tag() (num protowire.Number, typ protowire.Type, length int) {
	r := f.record()
	return protowire.ConsumeTag(f.ix.data[r.start:r.end])
}

// Number returns the field's number.
func (f Field) Number() protowire.Number {
	num, _, _ := f.tag()
	return num
}

// Type returns the field's wire type.
func (f Field) Type() protowire.Type {
	_, typ, _ := f.tag()
	return typ
}

// Packed reports whether the elements of a repeated number lie side by side,
// without tags between them.
func (f Field) Packed() bool {
	return f.Type() == protowire.BytesType
}

// Start returns the offset of the field's tag.
func (f Field) Start() int64 { return int64(f.record().start) }

// Range returns the offset and length of the payload, without tag and length;
// of a run, from the first element to the end of the last.
func (f Field) Range() (offset, length int64) {
	r := f.record()
	return int64(r.value), int64(r.end - r.value)
}

// Bytes returns the payload: the file's own bytes, not to be written to.
func (f Field) Bytes() []byte {
	r := f.record()
	return f.ix.data[r.value:r.end:r.end]
}

// Header returns what precedes the payload: the tag and, where there is one, the
// length.
func (f Field) Header() []byte {
	r := f.record()
	return f.ix.data[r.start:r.value:r.value]
}

// Verbatim returns the whole field with its tags and length.
func (f Field) Verbatim() []byte {
	r := f.record()
	return f.ix.data[r.start:r.end:r.end]
}

// Message returns the field's content as a message. Only fields that the schema
// describes as messages have fields of their own; of the others the kind is
// Leaf.
func (f Field) Message() Message {
	r := f.record()
	return Message{ix: f.ix, first: f.i + 1, last: r.next, start: r.value, end: r.end, kind: lookup(f.parent, f.Number()).child}
}

// Run returns the field's content as numbers.
func (f Field) Run() Run { return Run{f} }

// Run is a field of a repeated number: packed elements, or those that have a tag
// each.
type Run struct{ f Field }

// tagBytes is the length of what stands between two elements.
func (r Run) tagBytes() int {
	if _, typ, n := r.f.tag(); typ != protowire.BytesType {
		return n
	}
	return 0
}

// Uints returns the elements, which are varints. Iteration stops at the first
// malformed one of a packed field, which [Run.Count] then reports.
func (r Run) Uints() iter.Seq[uint64] {
	tag := r.tagBytes()
	return func(yield func(uint64) bool) {
		for b := r.f.Bytes(); len(b) > 0; {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || !yield(v) {
				return
			}
			b = b[n:]
			b = b[min(tag, len(b)):]
		}
	}
}

// Count returns the number of elements, which are varints, or false where the
// bytes of a packed field are not a sequence of them.
func (r Run) Count() (int, bool) {
	tag := r.tagBytes()
	n := 0
	for b := r.f.Bytes(); len(b) > 0; n++ {
		_, w := protowire.ConsumeVarint(b)
		if w < 0 {
			return n, false
		}
		b = b[w:]
		b = b[min(tag, len(b)):]
	}
	return n, true
}

// Stride returns the distance in bytes between elements that have the given
// width: the width itself where they are packed.
func (r Run) Stride(width int) int { return r.tagBytes() + width }
