package wire

import (
	"slices"
	"sort"

	"google.golang.org/protobuf/encoding/protowire"
)

// Splice is a set of changes to an indexed file. What it is given is kept, not
// copied. Changes inside a field that is itself replaced are lost.
//
// Outside the changes the new file has the bytes of the old one, with one
// exception: where a message grows or shrinks, its length and those of the
// messages around it are written anew. A length that was padded keeps its
// width, if the number still fits.
type Splice struct {
	ix    *Index
	edits map[int64]*edit
	keys  []int64 // of edits, sorted by Pieces
}

// edit is what happens at one record, or, with the key root, at the end of the
// file.
type edit struct {
	what    action
	content [][]byte // of what
	after   []byte   // fields that follow the record
	tail    []byte   // fields at the end of the message in the record
}

type action uint8

const (
	keep action = iota
	newPayload
	newFields
)

const root = -1 // the key of the ModelProto, which is no record

// Splice returns an empty set of changes.
func (ix *Index) Splice() *Splice { return &Splice{ix: ix, edits: map[int64]*edit{}} }

func (s *Splice) at(key int64) *edit {
	e := s.edits[key]
	if e == nil {
		e = &edit{}
		s.edits[key] = e
	}
	return e
}

// Payload replaces what f holds. Its tag stays, and its length, where it has
// one, follows. Of a run the payload is everything behind the first tag.
func (s *Splice) Payload(f Field, payload []byte) {
	e := s.at(int64(f.i))
	e.what, e.content = newPayload, [][]byte{payload}
}

// Fields replaces the whole of f, with its tags, by encoded fields, perhaps none.
// They may come in pieces.
func (s *Splice) Fields(f Field, fields ...[]byte) {
	e := s.at(int64(f.i))
	e.what, e.content = newFields, fields
}

// After adds encoded fields behind f.
func (s *Splice) After(f Field, fields []byte) {
	e := s.at(int64(f.i))
	e.after = append(slices.Clip(e.after), fields...)
}

// Append adds encoded fields at the end of m.
func (s *Splice) Append(m Message, fields []byte) {
	// The record that holds a message lies just before its first field.
	e := s.at(int64(m.first) - 1)
	e.tail = append(slices.Clip(e.tail), fields...)
}

// Pieces returns the new file, as views of the old one and of what was given.
func (s *Splice) Pieces() [][]byte {
	s.keys = s.keys[:0]
	for key := range s.edits {
		s.keys = append(s.keys, key)
	}
	slices.Sort(s.keys)
	w := writer{Splice: s}
	w.message(s.ix.Root(), root)
	w.flush()
	return w.pieces
}

// writer collects the pieces. Adjacent ones of the old file become one.
type writer struct {
	*Splice
	pieces   [][]byte
	from, to uint32 // what has been taken from the old file but is not in pieces
}

// old takes bytes of the old file and returns their number.
func (w *writer) old(from, to uint32) int {
	if from != w.to {
		w.flush()
		w.from = from
	}
	w.to = to
	return int(to - from)
}

func (w *writer) flush() {
	if w.from < w.to {
		w.pieces = append(w.pieces, w.ix.data[w.from:w.to:w.to])
	}
	w.from = w.to
}

// new takes bytes that are not in the old file and returns their number.
func (w *writer) new(pieces ...[]byte) int {
	w.flush()
	n := 0
	for _, b := range pieces {
		w.pieces = append(w.pieces, b)
		n += len(b)
	}
	return n
}

// message writes the body of m, whose record is key, and returns its length.
func (w *writer) message(m Message, key int64) int {
	n := 0
	for f := range m.Fields() {
		r := f.record()
		e := w.edits[int64(f.i)]
		switch {
		case e != nil && e.what == newFields:
			n += w.new(e.content...)
		case e != nil && e.what == newPayload:
			n += w.header(f, len(e.content[0])) + w.new(e.content...)
		case w.touches(f):
			w.flush()
			place := len(w.pieces)
			w.pieces = append(w.pieces, nil)
			body := w.message(f.Message(), int64(f.i))
			w.flush()
			w.pieces[place] = header(f, body)
			n += len(w.pieces[place]) + body
		default:
			n += w.old(r.start, r.end)
		}
		if e != nil && len(e.after) > 0 {
			n += w.new(e.after)
		}
	}
	if e := w.edits[key]; e != nil && len(e.tail) > 0 {
		n += w.new(e.tail)
	}
	return n
}

// touches reports whether anything changes in the message that f holds.
func (w *writer) touches(f Field) bool {
	first, last := int64(f.i), int64(f.record().next)
	i := sort.Search(len(w.keys), func(i int) bool { return w.keys[i] >= first })
	if i < len(w.keys) && w.keys[i] == first && len(w.edits[first].tail) == 0 {
		i++ // it is what follows f that changes
	}
	return i < len(w.keys) && w.keys[i] < last
}

// header writes the tag of f and, where it has one, the length of n bytes.
func (w *writer) header(f Field, n int) int {
	r := f.record()
	if !f.Packed() || uint32(n) == r.end-r.value {
		return w.old(r.start, r.value)
	}
	return w.new(header(f, n))
}

// header returns the tag of f, a field with a length, and the length n.
func header(f Field, n int) []byte {
	r := f.record()
	_, _, tagLen := f.tag()
	width := int(r.value-r.start) - tagLen
	if width == protowire.SizeVarint(uint64(r.end-r.value)) {
		width = 0 // not padded
	}
	header := append([]byte(nil), f.ix.data[r.start:int(r.start)+tagLen]...)
	return appendVarint(header, uint64(n), width)
}
