package onnx_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// writeModel writes a file to a new folder, or to dir, and opens it.
func writeModel(t *testing.T, dir string, data []byte) *onnx.Model {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// commit drafts, commits and returns the file.
func commit(t *testing.T, m *onnx.Model, target string, e onnx.Edits) []byte {
	t.Helper()
	d, err := m.Draft(target, e)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); d.SHA256() != hex.EncodeToString(sum[:]) || d.Size() != int64(len(data)) {
		t.Errorf("%d bytes, digest %s", d.Size(), d.SHA256())
	}
	return data
}

// checkDraft commits a draft with the edits and checks that its weights are the
// rounded ones, that its metadata are the new ones, once each, and that nothing
// else has changed.
func checkDraft(t *testing.T, m *onnx.Model, target string, e onnx.Edits) []byte {
	t.Helper()
	before, err := os.ReadFile(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	after := commit(t, m, target, e)
	patched, err := onnx.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer patched.Close()
	checkPatched(t, m, patched, before, after, e)
	return after
}

func checkPatched(t testing.TB, m, patched *onnx.Model, before, after []byte, e onnx.Edits) {
	t.Helper()
	var prefixes []string // of the paths of leaves that may change
	for tensor, x := range e.Weights {
		want, err := tensor.Rounded(x)
		if err != nil {
			t.Fatal(err)
		}
		own := patched.Tensor(tensor.Name)
		if got, err := own.Float32s(); err != nil || !slices.EqualFunc(got, want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
			t.Errorf("%s (%s) reads %v, %v; expected %v", tensor.Name, tensor.Storage, got, err, want)
		}
		if storage := own.Storage; tensor.Storage == onnx.StorageExternal && storage != onnx.StorageRaw || tensor.Storage != onnx.StorageExternal && storage != tensor.Storage {
			t.Errorf("%s was stored as %s, now as %s", tensor.Name, tensor.Storage, storage)
		}
		if tensor.Node != nil {
			prefixes = append(prefixes, "/graph=/node="+tensor.Name+"/attribute=value")
		} else {
			prefixes = append(prefixes, "/graph=/tensor="+tensor.Name+"/")
		}
		if r := tensor.Range; len(e.Weights) == 1 && strings.HasSuffix(string(tensor.Storage), "raw_data") {
			end := r.Offset + r.Length
			tail := len(before) // where only metadata may change
			if len(e.Metadata) > 0 && len(m.Metadata) > 0 {
				tail = int(end)
			}
			if !bytes.Equal(before[:r.Offset], after[:r.Offset]) || !bytes.Equal(before[end:tail], after[end:tail]) {
				t.Errorf("%s: bytes outside %v have changed", tensor.Name, r)
			}
		}
	}
	for key, value := range e.Metadata {
		if patched.Metadata[key] != value || bytes.Count(after, append([]byte{0x0a, byte(len(key))}, key...)) != 1 {
			t.Errorf("metadata %v, expected %q once, as %q", patched.Metadata, key, value)
		}
		prefixes = append(prefixes, "/entry="+key+"/")
	}
	changed := sameLeaves(t, before, after, func(path string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(path, p) })
	})
	for _, path := range changed {
		number := path[strings.LastIndexByte(path, '/')+1:]
		data := []string{"4", "5", "9", "10", "13", "14"} // of TensorProto
		if strings.Contains(path, "/node=") && !strings.Contains(path, "/tensor=") {
			data = []string{"2", "7"}
		}
		if !strings.HasPrefix(path, "/entry=") && !slices.Contains(data, number) {
			t.Errorf("%s has changed", path)
		}
	}
}

// changes are new values for what was stored as floats: signs, zeros, numbers
// that half types round, and the smallest.
var changes = []float32{-1, math.Float32frombits(1 << 31), 1.0001, -3e-5, 60000, math.SmallestNonzeroFloat32}

func TestDraftStorage(t *testing.T) {
	shape := []int{2, 3}
	half, halfInts := bits16(onnx.NarrowFloat16)
	brain, brainInts := bits16(onnx.NarrowBFloat16)
	double, doubles := raw64()
	tensor := func(d onnx.DType) *onnxtest.TensorProto { return onnxtest.Tensor("w", d, shape) }
	constant := func(attr onnxtest.Attr) func(*onnxtest.Builder) {
		return func(b *onnxtest.Builder) { b.Node("Constant", nil, []string{"w"}, attr) }
	}
	initializer := func(w *onnxtest.TensorProto) func(*onnxtest.Builder) {
		return func(b *onnxtest.Builder) { b.Initializer(w) }
	}
	for name, add := range map[string]func(*onnxtest.Builder){
		"raw":                   initializer(tensor(onnx.Float).Raw(raw32())),
		"raw, packed dims":      initializer(onnxtest.PackedDims("w", onnx.Float, shape).Raw(raw32())),
		"floats":                initializer(tensor(onnx.Float).Floats(floats...)),
		"floats in two fields":  initializer(tensor(onnx.Float).Floats(floats[:2]...).Floats(floats[2:]...)),
		"floats unpacked":       initializer(tensor(onnx.Float).Packed(false).Floats(floats...)),
		"floats mixed":          initializer(tensor(onnx.Float).Packed(false).Floats(floats[:4]...).Packed(true).Floats(floats[4:]...)),
		"floats, empty raw":     initializer(tensor(onnx.Float).Floats(floats...).Field(9, nil)),
		"half":                  initializer(tensor(onnx.Float16).Raw(half)),
		"half ints":             initializer(tensor(onnx.Float16).Int32s(halfInts...)),
		"half ints, two fields": initializer(tensor(onnx.Float16).Int32s(halfInts[:1]...).Int32s(halfInts[1:]...)),
		"half ints unpacked":    initializer(tensor(onnx.Float16).Packed(false).Int32s(halfInts...)),
		"brain":                 initializer(tensor(onnx.BFloat16).Raw(brain)),
		"brain ints":            initializer(tensor(onnx.BFloat16).Int32s(brainInts...)),
		"raw doubles":           initializer(tensor(onnx.Double).Raw(double)),
		"doubles":               initializer(tensor(onnx.Double).Doubles(doubles...)),
		"Constant raw":          constant(onnxtest.TensorAttr("value", tensor(onnx.Float).Raw(raw32()))),
		"Constant floats":       constant(onnxtest.TensorAttr("value", tensor(onnx.Float).Floats(floats...))),
		"Constant half ints":    constant(onnxtest.TensorAttr("value", tensor(onnx.Float16).Int32s(halfInts...))),
		"value_floats":          constant(onnxtest.Floats("value_floats", floats...)),
		"value_floats packed":   constant(onnxtest.FloatsPacked("value_floats", floats...)),
		"value_float":           constant(onnxtest.Float("value_float", floats[1])),
	} {
		t.Run(name, func(t *testing.T) {
			b := onnxtest.New(20)
			b.Input("x", onnx.Float, "batch", 2, 3)
			b.Float("before", []int{1}, []float32{1})
			add(b)
			b.Float("behind", []int{1}, []float32{1})
			b.Node("Sum", []string{"x", "w", "before", "behind"}, []string{"y"})
			b.Output("y", onnx.Float, "batch", 2, 3)
			m := writeModel(t, "", b.Bytes())
			w := m.Tensor("w")
			target := filepath.Join(t.TempDir(), "out.onnx")
			if !bytes.Equal(commit(t, m, target, onnx.Edits{}), b.Bytes()) {
				t.Error("an unpatched save is not the same to the byte")
			}
			for _, x := range [][]float32{changes, make([]float32, 6), {1, 1, 1, 1, 1, 1}, {-2, -2, -2, -2, -2, -2}} {
				x = x[:w.Elements()]
				checkDraft(t, m, target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: x}})
				checkDraft(t, m, target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: x, m.Tensor("behind"): {7}}, Metadata: map[string]string{"modeldoctor.fix": "{}", "a": ""}})
			}
			same, err := w.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			after := checkDraft(t, m, target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: same}})
			if !bytes.Equal(after, b.Bytes()) {
				t.Error("the values that are there, stored again, change the file")
			}
		})
	}
}

func TestDraftMetadata(t *testing.T) {
	b := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()))
	b.Metadata("author", "nobody")
	m := writeModel(t, "", b.Bytes())
	dir := t.TempDir()
	for i, value := range []string{`{"layer":"head"}`, `{"layer":"head","again":true}`, "", strings.Repeat("long", 100), "{}"} {
		target := filepath.Join(dir, string(rune('a'+i)))
		after := checkDraft(t, m, target, onnx.Edits{Metadata: map[string]string{"modeldoctor.fix": value}})
		if i == 0 && !bytes.HasPrefix(after, b.Bytes()) {
			t.Error("the first entry is not at the end of the file")
		}
		patched, err := onnx.Open(target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = patched.Close() })
		if patched.Metadata["author"] != "nobody" || len(patched.Metadata) != 2 {
			t.Errorf("metadata %q", patched.Metadata)
		}
		m = patched
	}
	b.Metadata("modeldoctor.fix", "1")
	b.Metadata("modeldoctor.fix", "2")
	b.ModelField(14, []byte("\x0a\x05empty")) // without a value
	m = writeModel(t, "", b.Bytes())
	checkDraft(t, m, filepath.Join(dir, "out"), onnx.Edits{Metadata: map[string]string{"modeldoctor.fix": "3", "empty": "4"}})
	if _, err := m.Draft(filepath.Join(dir, "out"), onnx.Edits{Metadata: map[string]string{"k": "\xff"}}); err == nil {
		t.Error("metadata that are not UTF-8 are accepted")
	}
}

// TestDraftPadded patches a tensor within messages whose lengths are padded.
func TestDraftPadded(t *testing.T) {
	pad := func(num byte, payload []byte) []byte {
		n := len(payload)
		return append([]byte{num<<3 | 2, byte(n) | 0x80, byte(n>>7) | 0x80, 0x00}, payload...)
	}
	_, halfInts := bits16(onnx.NarrowFloat16)
	constant := onnxtest.New(20)
	constant.Constant("w", onnxtest.Tensor("", onnx.Float16, []int{6}).Int32s(halfInts...))
	var node, tensor []byte
	for _, leaf := range flatten(t, "", "model", constant.Bytes()) {
		switch {
		case strings.Contains(leaf.path, "/tensor="):
			tensor = append(tensor, leaf.bytes...)
		case strings.Contains(leaf.path, "/node=") && !strings.Contains(leaf.path, "/attribute="):
			node = append(node, leaf.bytes...)
		}
	}
	attribute := slices.Concat([]byte("\x0a\x05value"), pad(5, tensor), []byte{0xa0, 0x01, 0x04})
	graph := slices.Concat(pad(1, append(node, pad(5, attribute)...)), []byte("\x62\x03\x0a\x01w"))
	data := append([]byte{0x08, 0x0a}, pad(7, graph)...)
	m := writeModel(t, "", data)
	w := m.Tensor("w")
	for _, x := range [][]float32{make([]float32, 6), changes} {
		after := checkDraft(t, m, filepath.Join(t.TempDir(), "out"), onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: x}})
		if after[2] != 7<<3|2 || after[4]&0x80 == 0 || after[5] != 0 {
			t.Errorf("the graph's length is not padded as it was: % x", after[:8])
		}
	}
}

func TestRounded(t *testing.T) {
	for _, c := range []struct {
		dtype   onnx.DType
		largest float32
		half    bool
	}{{onnx.Float, math.MaxFloat32, false}, {onnx.Double, math.MaxFloat32, false}, {onnx.Float16, 65504, true}, {onnx.BFloat16, 0x1.fep127, true}} {
		b := onnxtest.New(20)
		b.Tensor("w", c.dtype, []int{2, 3}, make([]byte, 6*c.dtype.Bits()/8))
		b.Node("Identity", []string{"w"}, []string{"y"})
		b.Output("y", c.dtype)
		m := writeModel(t, "", b.Bytes())
		w := m.Tensor("w")
		x := []float32{c.largest, -c.largest, 1, 1.0001, 0, 1e-9}
		got, err := w.Rounded(x)
		if err != nil {
			t.Fatal(err)
		}
		if same := slices.Equal(got, x); same == c.half || got[0] != c.largest || got[1] != -c.largest || got[2] != 1 || c.half && got[3] != 1 {
			t.Errorf("%v: %v becomes %v", c.dtype, x, got)
		}
		bad := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
		if c.half {
			bad = append(bad, math.MaxFloat32, -math.MaxFloat32)
		}
		for _, v := range bad {
			x := slices.Clone(x)
			x[4] = v
			_, err := w.Rounded(x)
			_, draftErr := m.Draft(filepath.Join(t.TempDir(), "out"), onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: x}})
			var format *onnx.FormatError
			if !errors.As(err, &format) || format.Tensor != "w" || !strings.Contains(format.Msg, "element 4, [1 1]") || draftErr == nil || draftErr.Error() != err.Error() {
				t.Errorf("%v: %v: %v; %v", c.dtype, v, err, draftErr)
			}
		}
	}
}

func TestDraftMisuse(t *testing.T) {
	data := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32())).Bytes()
	m, other := writeModel(t, "", data), writeModel(t, "", data)
	target := filepath.Join(t.TempDir(), "out")
	for name, e := range map[string]onnx.Edits{
		"too few":       {Weights: map[*onnx.Tensor][]float32{m.Tensor("w"): make([]float32, 5)}},
		"another model": {Weights: map[*onnx.Tensor][]float32{other.Tensor("w"): make([]float32, 6)}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			_, _ = m.Draft(target, e)
		}()
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Draft(target, onnx.Edits{}); err == nil {
		t.Error("a closed model is drafted")
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a file was written")
	}
}

// TestDraftOpen reads a draft before it is committed, and after.
func TestDraftOpen(t *testing.T) {
	m := writeModel(t, "", build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32())).Bytes())
	target := filepath.Join(t.TempDir(), "out.onnx")
	d, err := m.Draft(target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{m.Tensor("w"): changes}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	read := func() {
		t.Helper()
		patched, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer patched.Close()
		x, err := patched.Tensor("w").Float32s()
		if err != nil || !slices.Equal(x, changes) || patched.Path != target {
			t.Errorf("%s: %v, %v", patched.Path, x, err)
		}
		c := compare(t, m, patched)
		if c.Same || len(c.Tensors) != 1 || reported(c) != 1 || c.B.SHA256 != d.SHA256() {
			t.Errorf("%+v", c)
		}
	}
	read()
	if _, err := os.Stat(target); err == nil {
		t.Error("the draft is visible before Commit")
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	read()
	if err := d.Discard(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(target); err != nil {
		t.Error(err)
	}
}
