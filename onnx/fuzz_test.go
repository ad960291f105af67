package onnx_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// FuzzParse states what holds of every file that is accepted: onnx-go hands back
// the operands that the file has, every range lies in the file, and every tensor
// reads as many elements as its shape says or is refused with its name.
func FuzzParse(f *testing.F) {
	half, halfInts := bits16(onnx.NarrowFloat16)
	for _, w := range []*onnxtest.TensorProto{
		onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()),
		onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Packed(false).Floats(floats...),
		onnxtest.Tensor("w", onnx.Float16, []int{2, 3}).Raw(half),
		onnxtest.Tensor("w", onnx.Float16, []int{2, 3}).Int32s(halfInts...),
		onnxtest.Tensor("w", onnx.Int4, []int{3}).Int32s(0x7f, 0x08),
		onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External("w.data", 0, 24),
	} {
		b := build(w)
		b.Constant("c", onnxtest.Tensor("", onnx.Double, nil).Doubles(1))
		b.Node("Transpose", []string{"w"}, []string{"t", ""}, onnxtest.Ints("perm", 1, 0)).Name("/a/a.0/Transpose")
		b.Node("MatMul", []string{"x", "t"}, []string{"p"}).Metadata("pkg.torch.onnx.name_scopes", "['', 'b', 'linear']")
		f.Add(b.Bytes())
	}
	f.Add(functionModel().Bytes())
	f.Add(branchModel().Bytes())
	fixtures, err := filepath.Glob(filepath.Join("..", "fixtures", "*", "*.onnx"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range fixtures {
		if data, err := os.ReadFile(path); err == nil && len(data) < 256<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Parse(data, "")
		if err != nil {
			var format *onnx.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		for i, n := range m.Nodes {
			inputs, outputs, ok := n.FileOperands()
			if n.Index != i || ok && !slices.Equal(n.Inputs, inputs) || ok && !slices.Equal(n.Outputs, outputs) {
				t.Fatalf("node %d: %q → %q, the file has %q → %q", i, n.Inputs, n.Outputs, inputs, outputs)
			}
			for _, name := range n.Attributes() {
				if tensor := n.Tensor(name); tensor != nil {
					checkTensor(t, tensor, data)
				}
			}
		}
		for _, tensor := range m.Tensors {
			checkTensor(t, tensor, data)
		}
		m.Weights()
		m.Unsupported()
	})
}

func checkTensor(t *testing.T, tensor *onnx.Tensor, data []byte) {
	if r := tensor.Range; tensor.Storage != onnx.StorageExternal && (r.Offset < 0 || r.Length < 0 || r.Offset+r.Length > int64(len(data))) {
		t.Fatalf("%s lies at %v of %d bytes", tensor.Name, r, len(data))
	}
	n, err := tensor.Elements(), error(nil)
	if tensor.DType.IsFloat() {
		var x []float32
		x, err = tensor.Float32s()
		n = len(x)
	} else if tensor.DType.IsInteger() {
		var x []int64
		x, err = tensor.Int64s()
		n = len(x)
	}
	var format *onnx.FormatError
	if err == nil && n != tensor.Elements() || err != nil && !errors.As(err, &format) {
		t.Fatalf("%s: %d of %d elements, %v", tensor.Name, n, tensor.Elements(), err)
	}
}

// FuzzDraft states what holds of every file that is accepted: a draft without
// edits is the file; a patched one is a model in which the tensor reads the new
// values, rounded, every other field is the same to the byte, and patching again
// changes nothing.
func FuzzDraft(f *testing.F) {
	f.Add(full(), uint8(0), float32(1))
	f.Add(build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External("w.data", 0, 24).Field(9, nil)).Bytes(), uint8(0), float32(0.1))
	for i := range uint8(9) {
		f.Add(full(), i, float32(-70000))
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint8, value float32) {
		m, err := onnx.Parse(data, "")
		if err != nil {
			return
		}
		if same, err := onnx.Patched(m, onnx.Edits{}); err != nil || !slices.Equal(same, data) {
			t.Fatalf("without edits: %x, %v", same, err)
		}
		weights := m.Weights()
		if len(weights) == 0 {
			return
		}
		w := weights[int(which)%len(weights)].Tensor
		if w.Elements() > 1<<16 {
			return
		}
		x := make([]float32, w.Elements())
		for i := range x {
			x[i] = value + float32(i)
		}
		e := onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: x}}
		after, err := onnx.Patched(m, e)
		if err != nil {
			var format *onnx.FormatError
			if !errors.As(err, &format) || format.Tensor != w.Name {
				t.Fatalf("error without the tensor's name: %v", err)
			}
			return
		}
		patched, err := onnx.Parse(after, "")
		if err != nil {
			t.Fatalf("the patched file is refused: %v", err)
		}
		checkPatched(t, m, patched, data, after, e)
		again, err := onnx.Patched(patched, onnx.Edits{Weights: map[*onnx.Tensor][]float32{patched.Tensor(w.Name): x}})
		if err != nil || !slices.Equal(again, after) {
			t.Fatalf("patched again: %x, was %x, %v", again, after, err)
		}
	})
}

// FuzzMetadata states that a draft has the new entry once, whatever the file
// had.
func FuzzMetadata(f *testing.F) {
	f.Add(full(), "key", "new")
	f.Add(full(), "modeldoctor.fix", "{}")
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		m, err := onnx.Parse(data, "")
		if err != nil {
			return
		}
		after, err := onnx.Patched(m, onnx.Edits{Metadata: map[string]string{key: value}})
		if err != nil {
			if utf8.ValidString(key) && utf8.ValidString(value) {
				t.Fatal(err)
			}
			return
		}
		patched, err := onnx.Parse(after, "")
		if err != nil {
			t.Fatalf("the patched file is refused: %v", err)
		}
		if got, ok := patched.Metadata[key]; !ok || got != value {
			t.Fatalf("%q is %q, expected %q", key, got, value)
		}
		sameLeaves(t, data, after, func(path string) bool { return strings.HasPrefix(path, "/entry="+key+"/") })
		again, err := onnx.Patched(patched, onnx.Edits{Metadata: map[string]string{key: value}})
		if err != nil || !slices.Equal(again, after) {
			t.Fatalf("patched again: %x, was %x, %v", again, after, err)
		}
	})
}
