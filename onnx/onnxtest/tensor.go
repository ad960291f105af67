package onnxtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/modeldoctor/modeldoctor/onnx"

	"google.golang.org/protobuf/encoding/protowire"
)

// TensorProto is a tensor that is being built. Exactly one of the methods Raw,
// Stream, Floats, … gives it data.
type TensorProto struct {
	name     string
	head     []byte // name, dims and type
	data     []byte // data in another field than raw_data
	unpacked bool   // how numbers are added to data
	raw      *rawData
}

// Tensor returns a tensor without data, its dims unpacked as PyTorch writes them.
func Tensor(name string, t onnx.DType, shape []int) *TensorProto {
	var b []byte
	for _, d := range shape {
		b = appendVarint(b, 1, uint64(d))
	}
	b = appendVarint(b, 2, uint64(t))
	if name != "" {
		b = appendString(b, 8, name)
	}
	return &TensorProto{name: name, head: b}
}

// PackedDims returns a tensor without data whose dims are packed.
func PackedDims(name string, t onnx.DType, shape []int) *TensorProto {
	var dims []byte
	for _, d := range shape {
		dims = protowire.AppendVarint(dims, uint64(d))
	}
	p := Tensor(name, t, nil)
	p.head = append(appendBytes(nil, 1, dims), p.head...)
	return p
}

// Raw stores raw_data, little-endian. data is kept, not copied.
func (t *TensorProto) Raw(data []byte) *TensorProto {
	t.raw = &rawData{length: len(data), write: func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}}
	return t
}

// Stream stores raw_data of n bytes that write provides when the model is
// written; it may be called more than once.
func (t *TensorProto) Stream(n int, write func(io.Writer) error) *TensorProto {
	t.raw = &rawData{length: n, write: write}
	return t
}

// Packed says how the numbers that are added next are stored: packed, which is
// how they are unless it is called, or with a tag before each.
func (t *TensorProto) Packed(packed bool) *TensorProto {
	t.unpacked = !packed
	return t
}

// Floats stores float_data.
func (t *TensorProto) Floats(v ...float32) *TensorProto {
	return addNumbers(t, 4, protowire.Fixed32Type, v, func(b []byte, x float32) []byte {
		return protowire.AppendFixed32(b, math.Float32bits(x))
	})
}

// Doubles stores double_data.
func (t *TensorProto) Doubles(v ...float64) *TensorProto {
	return addNumbers(t, 10, protowire.Fixed64Type, v, func(b []byte, x float64) []byte {
		return protowire.AppendFixed64(b, math.Float64bits(x))
	})
}

// Int32s stores int32_data: small integers, or the bit patterns of FLOAT16 and
// BFLOAT16.
func (t *TensorProto) Int32s(v ...int32) *TensorProto {
	return addNumbers(t, 5, protowire.VarintType, v, appendInteger)
}

// Int64s stores int64_data.
func (t *TensorProto) Int64s(v ...int64) *TensorProto {
	return addNumbers(t, 7, protowire.VarintType, v, appendInteger)
}

// Uint64s stores uint64_data.
func (t *TensorProto) Uint64s(v ...uint64) *TensorProto {
	return addNumbers(t, 11, protowire.VarintType, v, appendInteger)
}

// addNumbers stores numbers in a field of t.
func addNumbers[T any](t *TensorProto, field protowire.Number, kind protowire.Type, v []T, encode func([]byte, T) []byte) *TensorProto {
	if t.unpacked {
		for _, x := range v {
			t.data = encode(protowire.AppendTag(t.data, field, kind), x)
		}
		return t
	}
	var b []byte
	for _, x := range v {
		b = encode(b, x)
	}
	t.data = appendBytes(t.data, field, b)
	return t
}

// appendInteger appends a varint; a negative number takes its 64 bits.
func appendInteger[T int32 | int64 | uint64](b []byte, x T) []byte {
	return protowire.AppendVarint(b, uint64(x))
}

// Strings stores string_data.
func (t *TensorProto) Strings(v ...string) *TensorProto {
	for _, s := range v {
		t.data = appendString(t.data, 6, s)
	}
	return t
}

// External says that the data are length bytes at offset in the file location.
// A negative offset or length is left out.
func (t *TensorProto) External(location string, offset, length int64) *TensorProto {
	t.data = appendBytes(t.data, 13, entry("location", location))
	if offset >= 0 {
		t.data = appendBytes(t.data, 13, entry("offset", strconv.FormatInt(offset, 10)))
	}
	if length >= 0 {
		t.data = appendBytes(t.data, 13, entry("length", strconv.FormatInt(length, 10)))
	}
	t.data = appendVarint(t.data, 14, 1)
	return t
}

// Field adds a field of bytes to the TensorProto.
func (t *TensorProto) Field(num int, payload []byte) *TensorProto {
	t.data = appendBytes(t.data, protowire.Number(num), payload)
	return t
}

// message is the tensor as it is now.
func (t *TensorProto) message() tensorMessage {
	return tensorMessage{t.name, slices.Concat(t.head, t.data), t.raw}
}

// rawData is the content of a raw_data field.
type rawData struct {
	length int // in bytes
	write  func(io.Writer) error
}

// tensorMessage is a tensor that is being encoded.
type tensorMessage struct {
	name   string
	fields []byte // all but raw_data
	raw    *rawData
}

func (t tensorMessage) size() int {
	if t.raw == nil {
		return len(t.fields)
	}
	return len(t.fields) + protowire.SizeTag(9) + protowire.SizeBytes(t.raw.length)
}

// writeField writes the message as field num of another.
func (t tensorMessage) writeField(w io.Writer, num protowire.Number) error {
	b := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(t.size()))
	if _, err := w.Write(b); err != nil {
		return err
	}
	return t.write(w)
}

func (t tensorMessage) write(w io.Writer) error {
	if _, err := w.Write(t.fields); err != nil || t.raw == nil {
		return err
	}
	b := protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.BytesType), uint64(t.raw.length))
	if _, err := w.Write(b); err != nil {
		return err
	}
	counted := &countingWriter{w: w}
	if err := t.raw.write(counted); err != nil {
		return fmt.Errorf("tensor %q: %w", t.name, err)
	}
	if counted.n != t.raw.length {
		return fmt.Errorf("tensor %q: the stream wrote %d bytes, announced were %d", t.name, counted.n, t.raw.length)
	}
	return nil
}

func (t tensorMessage) bytes() []byte {
	var buf bytes.Buffer
	if err := t.write(&buf); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

type countingWriter struct {
	w io.Writer
	n int
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

func float32Bytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func int64Bytes(v []int64) []byte {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b
}
