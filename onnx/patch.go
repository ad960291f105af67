package onnx

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// Edits is what a patched copy of a model holds in place of the original's. The
// zero Edits ask for a copy that is the same to the byte.
type Edits struct {
	// Weights holds new values in the order of the file, as [Tensor.Float32s]
	// returns them, rounded to the tensor's type when they are stored. The
	// tensors are the model's own, of any floating-point type, or quantised, and
	// in any form of storage. The slices are read while the draft is made, never
	// written to.
	Weights map[*Tensor][]float32
	// Dequantize stores the tensors of Weights that are quantised as floating-point
	// numbers of their [Tensor.ValueType] instead of on their grid. The nodes that
	// dequantised them become Identity nodes; scales and zero points stay.
	Dequantize bool
	// Metadata holds entries of the model's metadata_props: they replace those
	// of the same key, or else come at the end of the file.
	Metadata map[string]string
	// InPlace allows the target to be the model's own file. The model stays
	// readable: it keeps the old file open.
	InPlace bool
}

// patch returns the patched file, as views of the old one, of new values and
// of what comes between. What neither is asked for nor holds the length of what
// has changed is the old file's, byte for byte.
func patch(m *Model, e Edits) ([][]byte, error) {
	s := m.index.Splice()
	tensors := slices.SortedFunc(maps.Keys(e.Weights), func(a, b *Tensor) int { return cmp.Compare(a.offset, b.offset) })
	for _, t := range tensors {
		if t.model != m {
			panic(fmt.Sprintf("onnx: new values for tensor %q of another model", t.Name))
		}
		store := rewrite{t, s}.replace
		if e.Dequantize && t.quantization != nil {
			store = rewrite{t, s}.dequantize
		}
		if err := store(e.Weights[t]); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.Metadata)) {
		if err := setMetadata(m, s, key, e.Metadata[key]); err != nil {
			return nil, err
		}
	}
	pieces := s.Pieces()
	if n := total(pieces); n > wire.MaxSize {
		return nil, m.fail(0, fmt.Sprintf("the patched file would have %d bytes, an ONNX file has at most %d", n, wire.MaxSize),
			"patched weights are stored in the model file itself: treat fewer layers at a time, or save the model with more of its weights in external files")
	}
	return pieces, nil
}

func total(pieces [][]byte) (n int64) {
	for _, b := range pieces {
		n += int64(len(b))
	}
	return n
}

// setMetadata gives one entry of metadata_props the value, and removes others
// of the same key, which onnx.checker does not allow.
func setMetadata(m *Model, s *wire.Splice, key, value string) error {
	if !utf8.ValidString(key) || !utf8.ValidString(value) {
		return m.fail(0, fmt.Sprintf("the metadata %q: %q are not UTF-8", key, value), "")
	}
	found := false
	for f := range m.index.Root().Fields() {
		if f.Number() != modelMetadata || string(f.Message().Bytes(entryKey)) != key {
			continue
		}
		if found {
			s.Fields(f)
			continue
		}
		found = true
		setValue(s, f.Message(), value)
	}
	if !found {
		entry := appendText(appendText(nil, entryKey, key), entryValue, value)
		s.Append(m.index.Root(), protowire.AppendBytes(protowire.AppendTag(nil, modelMetadata, protowire.BytesType), entry))
	}
	return nil
}

// setValue replaces the value of an entry, of which the last counts.
func setValue(s *wire.Splice, entry wire.Message, value string) {
	var last *wire.Field
	for f := range entry.Fields() {
		if f.Number() == entryValue {
			last = &f
		}
	}
	if last == nil {
		s.Append(entry, appendText(nil, entryValue, value))
		return
	}
	s.Payload(*last, []byte(value))
}

func appendText(b []byte, num protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), text)
}
