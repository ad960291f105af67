// Package wire is an index of the bytes of an ONNX file. It reads tags and
// lengths, never the data of a tensor, so that a model of any size is opened
// in the time its structure takes.
//
// The index is a tree of records in file order, one for each field of each
// message that onnx.proto (see schema.go) describes. Every byte of the file
// belongs to exactly one record's tag, length or payload; [Index.Encode]
// rebuilds the file from the records alone and is the statement of that
// property. A run of unpacked elements of one repeated number (dims, ints,
// float_data) is a single record.
//
// [Splice] is the other half: it changes some of the fields and gives the new
// file as pieces of the old one and of what is new.
//
// The package checks that the file is well-formed protobuf and that the fields
// it knows have the wire types they should have. What the fields mean is the
// caller's business.
package wire

import (
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// MaxSize is the largest file, in bytes: the limit of protobuf itself.
	MaxSize = math.MaxInt32
	// MaxDepth bounds the nesting of messages. Protobuf's own decoders stop at
	// 100; a graph inside a control-flow node adds three.
	MaxDepth = 100

	recordBytes = 16
	baseBytes   = 32 << 20
)

// Error is a place at which the bytes are not an ONNX model.
type Error struct {
	Offset    int64  // of the first byte that is wrong, from the start of the file
	Truncated bool   // the file ends before a field does
	Message   string // what was expected and what was found
}

func (e *Error) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Message) }

// record is one field, or one run of unpacked elements: tag at start, payload
// (without tag and length) from value to end. next is the record after its
// last descendant, so the children of record i are i+1, records[i+1].next, …
type record struct{ start, value, end, next uint32 }

// Index is the parsed structure of one file. It is immutable and safe for
// concurrent use; it refers to the data it was made from.
type Index struct {
	data    []byte
	records []record
}

// New indexes data, which must stay unchanged and mapped as long as the index
// is used. It holds at most 32 MiB + 4·len(data) bytes; files whose structure
// needs more (megabytes of empty fields) are refused.
func New(data []byte) (*Index, error) {
	if len(data) > MaxSize {
		return nil, &Error{Offset: MaxSize, Message: fmt.Sprintf("the file has %d bytes, protobuf allows %d", len(data), MaxSize)}
	}
	// The first pass counts, so that the records are allocated once and their
	// number is bounded before any is.
	count := scanner{data: data, limit: (baseBytes + 4*len(data)) / recordBytes}
	if err := count.message(Model, 0, len(data), 0); err != nil {
		return nil, err
	}
	fill := scanner{data: data, limit: count.n, records: make([]record, 0, count.n)}
	if err := fill.message(Model, 0, len(data), 0); err != nil {
		panic("wire: second pass differs from the first: " + err.Error())
	}
	return &Index{data: data, records: fill.records}, nil
}

type scanner struct {
	data    []byte
	n       int // records seen
	limit   int
	records []record // nil while counting
}

// message scans data[pos:end], the body of a message of kind k.
func (s *scanner) message(k Kind, pos, end, depth int) error {
	if depth > MaxDepth {
		return &Error{Offset: int64(pos), Message: fmt.Sprintf("messages are nested more than %d deep", MaxDepth)}
	}
	for pos < end {
		num, typ, tagLen := protowire.ConsumeTag(s.data[pos:end])
		if tagLen < 0 {
			return s.malformed(k, pos, end, protowire.ParseError(tagLen))
		}
		f := lookup(k, num)
		if !f.form.allows(typ) {
			return &Error{Offset: int64(pos), Message: fmt.Sprintf("field %d of %s has wire type %d, which onnx.proto does not allow", num, k, typ)}
		}
		value, next, err := s.payload(k, num, typ, pos, tagLen, end)
		if err != nil {
			return err
		}
		if f.form.repeated() && typ != protowire.BytesType {
			if next, err = s.run(k, num, typ, pos, tagLen, next, end); err != nil {
				return err
			}
		}
		if s.n++; s.n > s.limit {
			return &Error{Offset: int64(pos), Message: fmt.Sprintf("more than %d fields in a file of %d bytes", s.limit, len(s.data))}
		}
		self := len(s.records)
		if s.records != nil {
			s.records = append(s.records, record{start: uint32(pos), value: uint32(value), end: uint32(next)})
		}
		if f.form == message {
			if err := s.message(f.child, value, next, depth+1); err != nil {
				return err
			}
		}
		if s.records != nil {
			s.records[self].next = uint32(len(s.records))
		}
		pos = next
	}
	return nil
}

// payload returns where the payload of the field at pos begins and ends.
func (s *scanner) payload(k Kind, num protowire.Number, typ protowire.Type, pos, tagLen, end int) (value, next int, err error) {
	value = pos + tagLen
	size := 0
	switch typ {
	case protowire.VarintType:
		_, size = protowire.ConsumeVarint(s.data[value:end])
	case protowire.Fixed32Type:
		size = 4
	case protowire.Fixed64Type:
		size = 8
	case protowire.BytesType:
		n, w := protowire.ConsumeVarint(s.data[value:end])
		if w < 0 {
			return 0, 0, s.malformed(k, pos, end, protowire.ParseError(w))
		}
		value += w
		if n > uint64(end-value) {
			return 0, 0, s.overrun(k, num, pos, end, n, end-value)
		}
		size = int(n)
	default:
		return 0, 0, &Error{Offset: int64(pos), Message: fmt.Sprintf("field %d of %s has wire type %d (groups are not part of ONNX)", num, k, typ)}
	}
	if size < 0 {
		return 0, 0, s.malformed(k, pos, end, protowire.ParseError(size))
	}
	if size > end-value {
		return 0, 0, s.overrun(k, num, pos, end, uint64(size), end-value)
	}
	return value, value + size, nil
}

// run returns the end of the run of elements that begins with the field at pos
// and whose first element ends at next.
func (s *scanner) run(k Kind, num protowire.Number, typ protowire.Type, pos, tagLen, next, end int) (int, error) {
	for next < end {
		n, t, w := protowire.ConsumeTag(s.data[next:end])
		if n != num || t != typ || w != tagLen {
			break // the caller's loop reports what is wrong with it, if anything
		}
		_, after, err := s.payload(k, num, typ, next, w, end)
		if err != nil {
			return 0, err
		}
		next = after
	}
	return next, nil
}

func (s *scanner) malformed(k Kind, pos, end int, err error) error {
	// Inside a message that ends before the file does, an incomplete number is a
	// wrong byte, not a file cut short.
	return &Error{Offset: int64(pos), Truncated: errors.Is(err, io.ErrUnexpectedEOF) && end == len(s.data),
		Message: fmt.Sprintf("in %s: %v", k, err)}
}

func (s *scanner) overrun(k Kind, num protowire.Number, pos, end int, want uint64, have int) error {
	e := &Error{Offset: int64(pos), Truncated: end == len(s.data)}
	place := "the message"
	if e.Truncated {
		place = "the file"
	}
	e.Message = fmt.Sprintf("field %d of %s needs %d bytes, but %s ends after %d", num, k, want, place, have)
	return e
}
