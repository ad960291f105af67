package wire_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"

	"google.golang.org/protobuf/encoding/protowire"
)

// sample returns a model with every kind of field that the schema knows.
func sample() []byte {
	b := onnxtest.New(20)
	b.Metadata("key", "value")
	b.Input("x", onnx.Float, "batch", 4)
	b.Initializer(onnxtest.Tensor("raw", onnx.Float, []int{2}).Raw(make([]byte, 8)))
	b.Initializer(onnxtest.PackedDims("packed", onnx.Float, []int{2}).Floats(1, 2))
	b.Initializer(onnxtest.Tensor("unpacked", onnx.Float, []int{3}).Packed(false).Floats(1, 2, 3))
	b.Initializer(onnxtest.Tensor("ints", onnx.Int64, []int{2}).Packed(false).Int64s(-1, 1))
	b.Initializer(onnxtest.Tensor("out", onnx.Float, []int{2}).External("file", 0, 8))
	b.Node("Op", []string{"x", "", "x"}, []string{"y"}, onnxtest.Ints("i", 1, -1), onnxtest.Floats("f", 1, 2), onnxtest.Strings("s", "a"),
		onnxtest.TensorAttr("t", onnxtest.Tensor("", onnx.Int32, nil).Int32s(1)), onnxtest.Graph("g", []byte{0x12, 0x01, 'g'})).Metadata("k", "v")
	b.Output("y", onnx.Float, "batch")
	b.ModelField(25, []byte{0x0a, 0x01, 'f'})
	b.ModelField(99, []byte("a field of a later version"))
	return b.Bytes()
}

// padded returns a field of bytes whose tag and length are longer than they need
// to be, which protobuf allows.
func padded(num int, payload []byte) []byte {
	b := []byte{byte(num<<3|2) | 0x80, 0x80, 0x00, byte(len(payload)) | 0x80, 0x00}
	return append(b, payload...)
}

func TestEncode(t *testing.T) {
	nested := padded(7, padded(1, padded(4, []byte("Op"))))
	for name, data := range map[string][]byte{
		"empty":  {},
		"sample": sample(),
		"padded": append(nested, padded(14, nil)...),
		// dims 1, 2, 3, the tag of the second padded
		"run of uneven tags": {0x3a, 0x09, 0x2a, 0x07, 0x08, 0x01, 0x88, 0x00, 0x02, 0x08, 0x03},
	} {
		index, err := wire.New(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := index.Encode(nil); !bytes.Equal(got, data) {
			t.Errorf("%s: encodes to\n%x, expected\n%x", name, got, data)
		}
	}
}

// TestFields reads what onnxtest has written.
func TestFields(t *testing.T) {
	data := sample()
	index, err := wire.New(data)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for graph := range index.Root().Each(7) {
		for tensor := range graph.Each(5) {
			name := string(tensor.Bytes(8))
			names = append(names, name)
			for f := range tensor.Fields() {
				offset, length := f.Range()
				if !bytes.Equal(f.Bytes(), data[offset:offset+length]) {
					t.Errorf("%s: field %d is not at %d", name, f.Number(), offset)
				}
				switch {
				case f.Number() == 4 && f.Packed():
					if f.Run().Stride(4) != 4 || length != 8 {
						t.Errorf("packed float_data: stride %d, %d bytes", f.Run().Stride(4), length)
					}
				case f.Number() == 4:
					if f.Run().Stride(4) != 5 || length != 14 {
						t.Errorf("unpacked float_data: stride %d, %d bytes", f.Run().Stride(4), length)
					}
				case f.Number() == 7:
					if got := slices.Collect(f.Run().Uints()); !slices.Equal(got, []uint64{1<<64 - 1, 1}) {
						t.Errorf("int64_data %v", got)
					}
					if n, ok := f.Run().Count(); n != 2 || !ok {
						t.Errorf("int64_data has %d elements, %v", n, ok)
					}
				}
			}
		}
	}
	if want := []string{"raw", "packed", "unpacked", "ints", "out"}; !slices.Equal(names, want) {
		t.Errorf("tensors %q, expected %q", names, want)
	}
	if index.Root().Uint(1) != 10 || !index.Root().Has(99) || index.Root().Has(98) {
		t.Error("fields of the model")
	}
}

func TestErrors(t *testing.T) {
	deep := []byte{}
	for range wire.MaxDepth { // graph → node → attribute → graph …
		for _, num := range []protowire.Number{6, 5, 1} {
			deep = protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), deep)
		}
	}
	deep = protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), deep)
	for name, c := range map[string]struct {
		data      []byte
		offset    int64
		truncated bool
		mentions  string
	}{
		"field past the end of the file":    {[]byte{0x08, 0x0a, 0x3a, 0x05, 0x0a}, 2, true, "field 7 of ModelProto needs 5 bytes, but the file ends after 1"},
		"field past the end of its message": {[]byte{0x3a, 0x02, 0x12, 0x05, 0x08, 0x0a}, 2, false, "the message ends after 0"},
		"number cut short":                  {[]byte{0x08, 0x80}, 0, true, "ModelProto"},
		"group":                             {[]byte{0x43, 0x44}, 0, false, "wire type 3"},
		"unknown group":                     {[]byte{0xf3, 0x03}, 0, false, "groups"},
		"string as a number":                {[]byte{0x10, 0x01}, 0, false, "field 2 of ModelProto has wire type 0"},
		"field number 0":                    {[]byte{0x02, 0x00}, 0, false, "field number"},
		"overlong number":                   {append([]byte{0x08}, bytes.Repeat([]byte{0xff}, 11)...), 0, false, "overflow"},
		"too deep":                          {deep, -1, false, "nested"},
	} {
		_, err := wire.New(c.data)
		var at *wire.Error
		if !errors.As(err, &at) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		if at.Truncated != c.truncated || !strings.Contains(at.Message, c.mentions) || c.offset >= 0 && at.Offset != c.offset {
			t.Errorf("%s: %v, truncated %v; expected %q at byte %d, truncated %v", name, err, at.Truncated, c.mentions, c.offset, c.truncated)
		}
	}
}

// TestMemoryIsBounded gives the index a file of the smallest fields, for each of
// which a record is eight times as long.
func TestMemoryIsBounded(t *testing.T) {
	data := bytes.Repeat([]byte{0x32, 0x00}, 12<<20) // empty doc_strings
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := wire.New(data); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Fatalf("error %v", err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("%d bytes allocated to refuse the file", allocated)
	}
	index, err := wire.New(data[:4<<20])
	if err != nil {
		t.Fatal(err)
	}
	if got := index.Encode(nil); !bytes.Equal(got, data[:4<<20]) {
		t.Error("encodes differently")
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(sample())
	f.Add([]byte{})
	f.Add(append(padded(7, padded(5, padded(9, []byte("raw")))), padded(14, nil)...))
	fixtures, err := filepath.Glob(filepath.Join("..", "..", "..", "fixtures", "*", "*.onnx"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range fixtures {
		if data, err := os.ReadFile(path); err == nil && len(data) < 256<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := wire.New(data)
		if err != nil {
			var at *wire.Error
			if !errors.As(err, &at) || at.Offset < 0 || at.Offset > int64(len(data)) {
				t.Fatalf("error without a place in the file: %v", err)
			}
			return
		}
		if got := index.Encode(nil); !bytes.Equal(got, data) {
			t.Fatalf("encodes to\n%x, expected\n%x", got, data)
		}
	})
}
