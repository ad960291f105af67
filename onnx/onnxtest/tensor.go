package onnxtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// TensorProto is a tensor that is being built. Exactly one of the methods Raw,
// Stream, Floats, … gives it data.
type TensorProto struct {
	name   string
	head   []byte // name, dims and type
	data   []byte // data in another field than raw_data
	raw    []byte
	stream func(io.Writer) error
	length int  // of raw or of what stream writes
	hasRaw bool // raw_data occurs, even if empty
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
	t.raw, t.length, t.hasRaw = data, len(data), true
	return t
}

// Stream stores raw_data of n bytes that write provides when the model is
// written; it may be called more than once.
func (t *TensorProto) Stream(n int, write func(io.Writer) error) *TensorProto {
	t.stream, t.length, t.hasRaw = write, n, true
	return t
}

// Floats stores float_data in packed form.
func (t *TensorProto) Floats(v ...float32) *TensorProto {
	t.data = appendBytes(t.data, 4, float32Bytes(v))
	return t
}

// FloatsUnpacked stores float_data with a tag before each element.
func (t *TensorProto) FloatsUnpacked(v ...float32) *TensorProto {
	for _, x := range v {
		t.data = appendFixed32(t.data, 4, x)
	}
	return t
}

// Doubles stores double_data in packed form.
func (t *TensorProto) Doubles(v ...float64) *TensorProto {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	t.data = appendBytes(t.data, 10, b)
	return t
}

// Int32s stores int32_data in packed form: small integers, or the bit patterns
// of FLOAT16 and BFLOAT16.
func (t *TensorProto) Int32s(v ...int32) *TensorProto {
	var b []byte
	for _, x := range v {
		b = protowire.AppendVarint(b, uint64(int64(x)))
	}
	t.data = appendBytes(t.data, 5, b)
	return t
}

// Int32sUnpacked stores int32_data with a tag before each element.
func (t *TensorProto) Int32sUnpacked(v ...int32) *TensorProto {
	for _, x := range v {
		t.data = appendVarint(t.data, 5, uint64(int64(x)))
	}
	return t
}

// Int64s stores int64_data in packed form.
func (t *TensorProto) Int64s(v ...int64) *TensorProto {
	var b []byte
	for _, x := range v {
		b = protowire.AppendVarint(b, uint64(x))
	}
	t.data = appendBytes(t.data, 7, b)
	return t
}

// Int64sUnpacked stores int64_data with a tag before each element.
func (t *TensorProto) Int64sUnpacked(v ...int64) *TensorProto {
	for _, x := range v {
		t.data = appendVarint(t.data, 7, uint64(x))
	}
	return t
}

// Uint64s stores uint64_data in packed form.
func (t *TensorProto) Uint64s(v ...uint64) *TensorProto {
	var b []byte
	for _, x := range v {
		b = protowire.AppendVarint(b, x)
	}
	t.data = appendBytes(t.data, 11, b)
	return t
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

// size returns the length of the encoded message.
func (t *TensorProto) size() int {
	n := len(t.head) + len(t.data)
	if t.hasRaw {
		n += protowire.SizeTag(9) + protowire.SizeBytes(t.length)
	}
	return n
}

// write writes the tensor as field num of a message.
func (t *TensorProto) write(w io.Writer, num protowire.Number) error {
	b := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(t.size()))
	if _, err := w.Write(b); err != nil {
		return err
	}
	return t.body(w)
}

func (t *TensorProto) body(w io.Writer) error {
	b := append(append([]byte(nil), t.head...), t.data...)
	if t.hasRaw {
		b = protowire.AppendVarint(protowire.AppendTag(b, 9, protowire.BytesType), uint64(t.length))
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if t.stream == nil {
		_, err := w.Write(t.raw)
		return err
	}
	counted := &countingWriter{w: w}
	if err := t.stream(counted); err != nil {
		return fmt.Errorf("tensor %q: %w", t.name, err)
	}
	if counted.n != t.length {
		return fmt.Errorf("tensor %q: the stream wrote %d bytes, announced were %d", t.name, counted.n, t.length)
	}
	return nil
}

func (t *TensorProto) bytes() []byte {
	var buf bytes.Buffer
	if err := t.body(&buf); err != nil {
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
