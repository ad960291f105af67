package onnx_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// floats are exactly representable in every floating-point type.
var floats = []float32{0, 1, -2.5, 1024, 0.0078125, -0.5}

// build returns a model with the initializer "w", which one node reads.
func build(w *onnxtest.TensorProto) *onnxtest.Builder {
	b := onnxtest.New(20)
	b.Input("x", onnx.Float, "batch", 2, 3)
	b.Initializer(w)
	b.Node("Add", []string{"x", "w"}, []string{"y"})
	b.Output("y", onnx.Float, "batch", 2, 3)
	return b
}

func parse(t *testing.T, b *onnxtest.Builder) *onnx.Model {
	t.Helper()
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func bits16(narrow func(float32) (uint16, bool)) (raw []byte, ints []int32) {
	for _, x := range floats {
		h, _ := narrow(x)
		raw = binary.LittleEndian.AppendUint16(raw, h)
		ints = append(ints, int32(h))
	}
	return raw, ints
}

// signExtended returns 16-bit patterns as a writer does that takes them for
// signed numbers.
func signExtended(v []int32) []int32 {
	extended := make([]int32, len(v))
	for i, x := range v {
		extended[i] = int32(int16(x))
	}
	return extended
}

func raw32() (raw []byte) {
	for _, x := range floats {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw
}

func raw64() (raw []byte, doubles []float64) {
	for _, x := range floats {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(float64(x)))
		doubles = append(doubles, float64(x))
	}
	return raw, doubles
}

func TestFloatStorage(t *testing.T) {
	shape := []int{2, 3}
	half, halfInts := bits16(onnx.NarrowFloat16)
	brain, brainInts := bits16(onnx.NarrowBFloat16)
	double, doubles := raw64()
	tensor := func(d onnx.DType) *onnxtest.TensorProto { return onnxtest.Tensor("w", d, shape) }
	for _, c := range []struct {
		storage onnx.Storage
		w       *onnxtest.TensorProto
		dtype   onnx.DType
		mapped  bool
		length  int64 // of Range
	}{
		{onnx.StorageRaw, tensor(onnx.Float).Raw(raw32()), onnx.Float, true, 24},
		{onnx.StorageRaw, onnxtest.PackedDims("w", onnx.Float, shape).Raw(raw32()), onnx.Float, true, 24},
		{onnx.StorageFloats, tensor(onnx.Float).Floats(floats...), onnx.Float, true, 24},
		{onnx.StorageFloats, tensor(onnx.Float).Floats(floats[:2]...).Floats(floats[2:]...), onnx.Float, false, 0},
		{onnx.StorageFloatsUnpacked, tensor(onnx.Float).Packed(false).Floats(floats...), onnx.Float, false, 29},
		{onnx.StorageFloatsUnpacked, tensor(onnx.Float).Packed(false).Floats(floats[:4]...).Packed(true).Floats(floats[4:]...), onnx.Float, false, 0},
		{onnx.StorageRaw, tensor(onnx.Float16).Raw(half), onnx.Float16, false, 12},
		{onnx.StorageInt32s, tensor(onnx.Float16).Int32s(halfInts...), onnx.Float16, false, 14},
		{onnx.StorageInt32s, tensor(onnx.Float16).Int32s(signExtended(halfInts)...), onnx.Float16, false, 14 + 2*7},
		{onnx.StorageRaw, tensor(onnx.BFloat16).Raw(brain), onnx.BFloat16, false, 12},
		{onnx.StorageInt32s, tensor(onnx.BFloat16).Int32s(brainInts...), onnx.BFloat16, false, 14},
		{onnx.StorageRaw, tensor(onnx.Double).Raw(double), onnx.Double, false, 48},
		{onnx.StorageDoubles, tensor(onnx.Double).Doubles(doubles...), onnx.Double, false, 48},
	} {
		t.Run(c.dtype.String()+" "+string(c.storage), func(t *testing.T) {
			m := parse(t, build(c.w))
			w := m.Tensor("w")
			if w.Storage != c.storage || w.DType != c.dtype || !slices.Equal(w.Shape, shape) || w.Elements() != 6 {
				t.Errorf("%v %v %v, %d elements", w.Storage, w.DType, w.Shape, w.Elements())
			}
			if w.Mapped() != c.mapped || w.Range.Length != c.length {
				t.Errorf("mapped %v, range %v; expected %v, length %d", w.Mapped(), w.Range, c.mapped, c.length)
			}
			if got, err := w.Float32s(); err != nil || !slices.Equal(got, floats) {
				t.Errorf("%v, %v; expected %v", got, err, floats)
			}
			if got, err := w.Float64s(); err != nil || !slices.Equal(got, doubles) {
				t.Errorf("in float64: %v, %v; expected %v", got, err, doubles)
			}
			if _, err := w.Int64s(); err == nil {
				t.Error("read as integers")
			}
		})
	}
}

// TestSignExtendedHalves: a writer may have extended the sign of a half type's
// pattern to 32 bits; anything else beyond 16 bits is refused.
func TestSignExtendedHalves(t *testing.T) {
	for _, c := range []struct {
		dtype    onnx.DType
		patterns []int32
	}{
		{onnx.Float16, []int32{0x3c00, int32(0xbc00) - 1<<16}},
		{onnx.BFloat16, []int32{0x3f80, int32(0xbf80) - 1<<16}},
	} {
		w := parse(t, build(onnxtest.Tensor("w", c.dtype, []int{2}).Int32s(c.patterns...))).Tensor("w")
		if got, err := w.Float32s(); err != nil || !slices.Equal(got, []float32{1, -1}) {
			t.Errorf("%v: %v, %v; expected [1 -1]", c.dtype, got, err)
		}
		for _, beyond := range []int32{-1<<15 - 1, 1 << 16} {
			w := parse(t, build(onnxtest.Tensor("w", c.dtype, []int{1}).Int32s(beyond))).Tensor("w")
			if got, err := w.Float32s(); err == nil {
				t.Errorf("%v: the pattern %d is read as %v", c.dtype, beyond, got)
			}
		}
	}
}

func TestConstantNodes(t *testing.T) {
	for _, c := range []struct {
		storage onnx.Storage
		attr    onnxtest.Attr
		shape   []int
	}{
		{"Constant raw_data", onnxtest.TensorAttr("value", onnxtest.Tensor("", onnx.Float, []int{6}).Raw(raw32())), []int{6}},
		{"Constant float_data", onnxtest.TensorAttr("value", onnxtest.Tensor("other", onnx.Float, []int{3, 2}).Floats(floats...)), []int{3, 2}},
		{onnx.StorageConstantFloats, onnxtest.Floats("value_floats", floats...), []int{6}},
		{onnx.StorageConstantFloats, onnxtest.FloatsPacked("value_floats", floats...), []int{6}},
		{onnx.StorageConstantFloat, onnxtest.Float("value_float", floats[0]), []int{}},
	} {
		b := onnxtest.New(20)
		b.Node("Constant", nil, []string{"w"}, c.attr)
		b.Output("w", onnx.Float, 6)
		m := parse(t, b)
		w := m.Tensor("w")
		if w == nil || w.Storage != c.storage || w.Node != m.Nodes[0] || w.Name != "w" || !slices.Equal(w.Shape, c.shape) {
			t.Errorf("%s: %+v", c.storage, w)
			continue
		}
		if got, err := w.Float32s(); err != nil || !slices.Equal(got, floats[:len(got)]) || len(got) != w.Elements() {
			t.Errorf("%s: %v, %v", c.storage, got, err)
		}
		if weights := m.Weights(); len(weights) != 1 || weights[0].Tensor != w {
			t.Errorf("%s: %d weights", c.storage, len(weights))
		}
	}
	for _, attr := range []onnxtest.Attr{onnxtest.Ints("value_ints", -1, 7), onnxtest.IntsPacked("value_ints", -1, 7)} {
		b := onnxtest.New(20)
		b.Node("Constant", nil, []string{"axes"}, attr)
		b.Output("axes", onnx.Int64, 2)
		if got, err := parse(t, b).Tensor("axes").Int64s(); err != nil || !slices.Equal(got, []int64{-1, 7}) {
			t.Errorf("value_ints: %v, %v", got, err)
		}
	}
}

func TestIntegers(t *testing.T) {
	tensor := func(d onnx.DType, n int) *onnxtest.TensorProto { return onnxtest.Tensor("w", d, []int{n}) }
	for _, c := range []struct {
		name string
		w    *onnxtest.TensorProto
		want []int64 // nil: an error
	}{
		{"int64 raw", tensor(onnx.Int64, 1).Raw([]byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), []int64{-2}},
		{"int64_data", tensor(onnx.Int64, 2).Int64s(math.MinInt64, 5), []int64{math.MinInt64, 5}},
		{"int64_data unpacked", tensor(onnx.Int64, 2).Packed(false).Int64s(-1, 300), []int64{-1, 300}},
		{"int32_data", tensor(onnx.Int32, 2).Int32s(-7, 8), []int64{-7, 8}},
		{"int8 raw", tensor(onnx.Int8, 2).Raw([]byte{0x80, 0x7f}), []int64{-128, 127}},
		{"int8 int32_data", tensor(onnx.Int8, 2).Int32s(-128, 127), []int64{-128, 127}},
		{"int8 out of range", tensor(onnx.Int8, 1).Int32s(-129), nil},
		{"uint8 out of range", tensor(onnx.Uint8, 1).Int32s(256), nil},
		{"uint16 raw", tensor(onnx.Uint16, 1).Raw([]byte{0xff, 0xff}), []int64{65535}},
		{"uint32 uint64_data", tensor(onnx.Uint32, 1).Uint64s(math.MaxUint32), []int64{math.MaxUint32}},
		{"uint64", tensor(onnx.Uint64, 1).Uint64s(math.MaxInt64), []int64{math.MaxInt64}},
		{"uint64 too large", tensor(onnx.Uint64, 1).Uint64s(math.MaxInt64 + 1), nil},
		{"bool raw", tensor(onnx.Bool, 3).Raw([]byte{0, 1, 2}), []int64{0, 1, 1}},
		{"bool int32_data", tensor(onnx.Bool, 2).Int32s(1, 0), []int64{1, 0}},
		{"int4", tensor(onnx.Int4, 3).Raw([]byte{0x7f, 0x08}), []int64{-1, 7, -8}},
		{"uint4 int32_data", tensor(onnx.Uint4, 3).Int32s(0x7f, 0x08), []int64{15, 7, 8}},
		{"uint2", tensor(onnx.Uint2, 5).Raw([]byte{0b11_10_01_00, 0b10}), []int64{0, 1, 2, 3, 2}},
		{"too few", tensor(onnx.Int64, 3).Int64s(300, 300), nil},
		{"malformed", tensor(onnx.Int64, 2).Field(7, []byte{1, 0x80}), nil},
		{"empty", tensor(onnx.Int64, 0), []int64{}},
		{"strings", tensor(onnx.String, 1).Strings("a"), nil},
	} {
		got, err := parse(t, build(c.w)).Tensor("w").Int64s()
		if c.want == nil && err == nil || c.want != nil && (err != nil || !slices.Equal(got, c.want)) {
			t.Errorf("%s: %v, %v; expected %v", c.name, got, err, c.want)
		}
		var format *onnx.FormatError
		if err != nil && (!errors.As(err, &format) || format.Tensor != "w") {
			t.Errorf("%s: error %#v does not name the tensor", c.name, err)
		}
	}
}

// TestMappedViewsAlignment reads views at every alignment.
func TestMappedViewsAlignment(t *testing.T) {
	for pad := range 4 {
		b := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()))
		b.Producer("producer"[:pad], "")
		w := parse(t, b).Tensor("w")
		if got, err := w.Float32s(); err != nil || !slices.Equal(got, floats) {
			t.Errorf("offset %d: %v, %v", w.Range.Offset, got, err)
		}
	}
}

// TestViewsNeverReachTheFile writes to a view, which callers must not do.
func TestViewsNeverReachTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.onnx")
	before := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32())).Bytes()
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	w, err := m.Tensor("w").Float32s()
	if err != nil {
		t.Fatal(err)
	}
	w[0] = 99
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(after, before) {
		t.Errorf("the file has changed, or %v", err)
	}
	if _, err := m.Tensor("nothing"), m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.SHA256(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("digest of a closed model: %v", err)
	}
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "model")
	if err := os.MkdirAll(filepath.Join(inside, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	data := append([]byte("skip"), raw32()...)
	for _, path := range []string{filepath.Join(inside, "w.data"), filepath.Join(inside, "sub", "w.data"), filepath.Join(dir, "secret")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join("..", "secret"), filepath.Join(inside, "link")); err != nil {
		t.Logf("no symbolic links here: %v", err)
	}
	if err := os.Symlink("w.data", filepath.Join(inside, "good-link")); err != nil {
		t.Logf("no symbolic links here: %v", err)
	}
	for _, c := range []struct {
		location       string
		offset, length int64
		ok             bool
		hint           bool
	}{
		{"w.data", 4, 24, true, false},
		{"w.data", 4, -1, true, false},
		{"sub/w.data", 4, 24, true, false},
		{"good-link", 4, 24, true, false},
		{"w.data", -1, -1, true, false}, // offset 0: other values, but readable
		{"w.data", 5, -1, false, true},
		{"w.data", math.MaxInt64, -1, false, true},
		{"missing.data", 0, 24, false, true},
		{"link", 4, 24, false, true},
		{"../secret", 4, 24, false, true},
		{filepath.Join(dir, "secret"), 4, 24, false, true},
		{"sub", 0, 24, false, false},
	} {
		b := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External(c.location, c.offset, c.length))
		path := filepath.Join(inside, "m.onnx")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Open(path)
		if err != nil {
			t.Fatalf("%s: %v", c.location, err)
		}
		w := m.Tensor("w")
		if w.Storage != onnx.StorageExternal || w.Mapped() != true {
			t.Errorf("%s: %v, mapped %v", c.location, w.Storage, w.Mapped())
		}
		checked := w.CheckData()
		got, err := w.Float32s()
		if c.ok {
			if checked != nil || err != nil || c.offset == 4 && !slices.Equal(got, floats) {
				t.Errorf("%s at %d: %v, %v, %v", c.location, c.offset, got, checked, err)
			}
		} else {
			var format *onnx.FormatError
			if checked == nil || !errors.As(err, &format) || format.Tensor != "w" || (format.Hint() != "") != c.hint {
				t.Errorf("%s at %d: %v, %v", c.location, c.offset, checked, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	b := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External("w.data", 0, 24))
	m := parse(t, b)
	if _, err := m.Tensor("w").Float32s(); err == nil {
		t.Error("a model from memory without a folder read external data")
	}
	if m, err := onnx.Parse(b.Bytes(), inside); err != nil || m.Tensor("w").CheckData() != nil {
		t.Errorf("a model from memory with a folder: %v", err)
	}
}
