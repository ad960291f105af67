package wire

import "google.golang.org/protobuf/encoding/protowire"

// Encode appends the file, rebuilt from the records, to dst. Payloads are
// copied; tags and the lengths of all messages are written anew from the
// structure, in the width they had. The result equals the data that the index
// was made from, byte for byte.
func (ix *Index) Encode(dst []byte) []byte { return ix.Root().encode(dst) }

func (m Message) encode(dst []byte) []byte {
	for f := range m.Fields() {
		r := f.record()
		num, typ, tagLen := f.tag()
		dst = appendVarint(dst, protowire.EncodeTag(num, typ), tagLen)
		if typ == protowire.BytesType {
			dst = appendVarint(dst, uint64(size(f)), int(r.value-r.start)-tagLen)
		}
		if r.next > f.i+1 {
			dst = f.Message().encode(dst)
		} else {
			dst = append(dst, f.Bytes()...)
		}
	}
	return dst
}

// size returns the length of the field's payload as Encode writes it: the sum
// over its children where it is a message.
func size(f Field) int {
	r := f.record()
	if r.next == f.i+1 {
		return int(r.end - r.value)
	}
	n := 0
	for child := range f.Message().Fields() {
		c := child.record()
		n += int(c.value-c.start) + size(child)
	}
	return n
}

// appendVarint appends v in at least width bytes: protobuf allows a number to be
// padded, and writers that fill in lengths afterwards do so.
func appendVarint(dst []byte, v uint64, width int) []byte {
	start := len(dst)
	dst = protowire.AppendVarint(dst, v)
	for len(dst)-start < width {
		dst[len(dst)-1] |= 0x80
		dst = append(dst, 0)
	}
	return dst
}
