package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// difference is one place at which two messages differ.
type difference struct {
	path string // of fields, below the message that was compared
	form differenceForm
	text string // what differs, with the places in both files
}

type differenceForm uint8

const (
	inContent  differenceForm = iota // what a field holds, or that it is there
	inEncoding                       // how it is written: padded numbers, order of fields
)

// String returns the difference in words.
func (d difference) String() string {
	if d.path == "" {
		return d.text
	}
	return d.path + ": " + d.text
}

// differ compares messages field by field and counts the bytes that differ.
type differ struct {
	changed, removed int64 // see Comparison
	// claim, where there is one, takes what differs in some messages, with paths
	// below them, so that it is not reported where they stand; it returns nil for
	// the others.
	claim func(a, b wire.Message) func(found []difference)
}

// message returns the differences between two messages.
func (d *differ) message(a, b wire.Message) (found []difference) {
	m := match(a, b)
	for _, p := range m.pairs {
		found = append(found, d.pair(p)...)
	}
	return append(found, d.rest(m, a.Kind())...)
}

// rest returns the differences between the matched messages that are not within
// pairs.
func (d *differ) rest(m matching, kind wire.Kind) (found []difference) {
	for _, f := range m.onlyA {
		found = append(found, d.onlyA(f, kind))
	}
	for _, f := range m.onlyB {
		found = append(found, d.onlyB(f, kind))
	}
	if !m.ordered {
		found = append(found, difference{"", inEncoding, "the fields are in another order"})
	}
	return found
}

func (d *differ) onlyA(f wire.Field, kind wire.Kind) difference {
	d.removed += int64(len(f.Verbatim()))
	return difference{only(f, kind), inContent, fmt.Sprintf("%s only in the first file (byte %d)", describe(f), f.Start())}
}

func (d *differ) onlyB(f wire.Field, kind wire.Kind) difference {
	d.changed += int64(len(f.Verbatim()))
	return difference{only(f, kind), inContent, fmt.Sprintf("%s only in the second file (byte %d)", describe(f), f.Start())}
}

// only names a field that has no partner.
func only(f wire.Field, kind wire.Kind) string {
	return identity{number: f.Number(), key: key(f.Message())}.in(kind, false)
}

// pair returns the differences between two fields, with the field's name in
// their paths.
func (d *differ) pair(p pair) (found []difference) {
	if bytes.Equal(p.a.Verbatim(), p.b.Verbatim()) {
		return nil
	}
	found = d.header(p)
	if d.claim != nil {
		if take := d.claim(p.a.Message(), p.b.Message()); take != nil {
			for i := range found {
				found[i].path = ""
			}
			take(append(found, d.message(p.a.Message(), p.b.Message())...))
			return nil
		}
	}
	if p.a.Message().Kind() != wire.Leaf {
		for _, inner := range d.message(p.a.Message(), p.b.Message()) {
			if inner.path = p.name + "." + inner.path; inner.path == p.name+"." {
				inner.path = p.name
			}
			found = append(found, inner)
		}
		return found
	}
	return append(found, d.leaf(p)...)
}

// header compares tags and lengths. A length that differs because the content
// does is counted, but is no difference of its own.
func (d *differ) header(p pair) []difference {
	a, b := p.a.Header(), p.b.Header()
	if bytes.Equal(a, b) {
		return nil
	}
	d.changed += int64(len(b))
	d.removed += int64(len(a))
	if padding(p.a) == padding(p.b) && len(p.a.Bytes()) != len(p.b.Bytes()) || p.a.Type() != p.b.Type() {
		return nil // it is what follows that differs, or the type
	}
	return []difference{{p.name, inEncoding, "its tag or length is padded differently" + places(p)}}
}

// padding returns how many bytes longer than necessary the header of f is.
func padding(f wire.Field) int {
	n := protowire.SizeTag(f.Number())
	if f.Packed() {
		_, length := f.Range()
		n += protowire.SizeVarint(uint64(length))
	}
	return len(f.Header()) - n
}

// leaf compares two fields that hold no message.
func (d *differ) leaf(p pair) []difference {
	a, b := p.a.Bytes(), p.b.Bytes()
	changed, removed := unequal(a, b)
	d.changed += changed
	d.removed += removed
	text := ""
	switch {
	case p.a.Packed() != p.b.Packed():
		text = "packed in one of the files only"
	case p.a.Type() != p.b.Type():
		text = fmt.Sprintf("wire type %d → %d", p.a.Type(), p.b.Type())
	case changed == 0 && removed == 0:
		return nil // the header is what differs
	default:
		before, after := describe(p.a), describe(p.b)
		if before == after || len(a) == len(b) && len(a) > shortText {
			text = fmt.Sprintf("%d of %d bytes differ", changed, len(b))
		} else {
			text = before + " → " + after
		}
	}
	return []difference{{p.name, inContent, text + places(p)}}
}

// places returns where the fields of a pair lie.
func places(p pair) string {
	if p.a.Start() == p.b.Start() {
		return fmt.Sprintf(" (byte %d)", p.a.Start())
	}
	return fmt.Sprintf(" (byte %d → %d)", p.a.Start(), p.b.Start())
}

// unequal counts the bytes of b that differ from those of a, and the other way
// round: by place if there are as many, else all but what the two begin and end
// with in common.
func unequal(a, b []byte) (changed, removed int64) {
	if len(a) == len(b) {
		const block = 4096
		for len(b) > 0 {
			n := min(block, len(b))
			if !bytes.Equal(a[:n], b[:n]) {
				for i := range n {
					if a[i] != b[i] {
						changed++
					}
				}
			}
			a, b = a[n:], b[n:]
		}
		return changed, changed
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	a, b = a[n:], b[n:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return int64(len(b)), int64(len(a))
}

// shortText is the length in bytes up to which content is shown.
const shortText = 80

// describe returns the content of a field for people.
func describe(f wire.Field) string {
	b := f.Bytes()
	switch {
	case f.Message().Kind() != wire.Leaf || len(b) > shortText:
		return fmt.Sprintf("%d bytes", len(b))
	case f.Packed() && printable(b):
		return fmt.Sprintf("%q", b)
	case f.Packed():
		return fmt.Sprintf("% x", b)
	}
	switch typ := f.Type(); {
	case typ == protowire.VarintType:
		if v, n := protowire.ConsumeVarint(b); n == len(b) { // one, not a run
			return fmt.Sprint(int64(v))
		}
	case typ == protowire.Fixed32Type && len(b) == 4:
		return fmt.Sprint(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return fmt.Sprintf("% x", b)
}

func printable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
