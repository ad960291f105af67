package onnx_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// tied returns a model in which one tensor serves two layers, directly and
// through nodes that rearrange it.
func tied(w *onnxtest.TensorProto) *onnxtest.Builder {
	b := onnxtest.New(20)
	b.Input("x", onnx.Float, 2, 3)
	b.Initializer(w)
	b.Float("last", []int{1}, []float32{1})
	b.Node("Mul", []string{"x", "w"}, []string{"p"}).Name("/blocks.0/fc/Mul")
	b.Node("Transpose", []string{"w"}, []string{"wt"}).Name("transpose")
	b.Node("MatMul", []string{"p", "wt"}, []string{"q"}).Name("/head/MatMul")
	b.Node("MatMul", []string{"q", "wt"}, []string{"r"}).Name("/tail/MatMul")
	b.Node("Sum", []string{"w", "r", "w", "last"}, []string{"y"}).Name("twice")
	b.Output("y", onnx.Float, 2, 3)
	return b
}

// usesOf returns the uses of a tensor at the nodes of those names.
func usesOf(m *onnx.Model, name string, nodes ...string) (found []onnx.Use) {
	for _, w := range m.Weights() {
		for _, u := range w.Uses {
			if w.Tensor.Name == name && slices.Contains(nodes, u.Node.Name) {
				found = append(found, u)
			}
		}
	}
	return found
}

func TestUntied(t *testing.T) {
	_, halfInts := bits16(onnx.NarrowFloat16)
	shape := []int{2, 3}
	for name, w := range map[string]*onnxtest.TensorProto{
		"raw":      onnxtest.Tensor("w", onnx.Float, shape).Raw(raw32()),
		"unpacked": onnxtest.Tensor("w", onnx.Float, shape).Packed(false).Floats(floats...),
		"half":     onnxtest.Tensor("w", onnx.Float16, shape).Int32s(halfInts...),
	} {
		m := writeModel(t, "", tied(w).Bytes())
		untied, err := m.Untied(m.Tensor("w"), usesOf(m, "w", "/head/MatMul", "/tail/MatMul"))
		if err != nil {
			t.Fatal(err)
		}
		node, input := usesOf(m, "w", "/head/MatMul")[0].Reader()
		own := untied.Tensor(untied.Nodes[node.Index].Inputs[input])
		if own == nil || own.Name != "w::untied" || own.DType != m.Tensor("w").DType || !slices.Equal(own.Shape, shape) || own.Storage != onnx.StorageRaw {
			t.Fatalf("%s: the copy is %+v", name, own)
		}
		if x, err := own.Float32s(); err != nil || !slices.Equal(x, floats) {
			t.Errorf("%s: the copy holds %v, %v", name, x, err)
		}
		if untied.Path != m.Path || len(untied.Tensors) != 3 {
			t.Errorf("%s: path %s, %d tensors", name, untied.Path, len(untied.Tensors))
		}
		got := lines(compare(t, m, untied))
		if len(got) != 2 || got[0] != "tensor w::untied: added" || !strings.HasPrefix(got[1], `node "transpose" (Transpose): input: "w" → "w::untied"`) {
			t.Errorf("%s: changed are %q", name, got)
		}
		// Patch the copy, and it alone.
		target := filepath.Join(t.TempDir(), "out.onnx")
		commit(t, untied, target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{own: make([]float32, 6)}})
		patched, err := onnx.Open(target)
		if err != nil {
			t.Fatal(err)
		}
		defer patched.Close()
		if x, err := patched.Tensor("w").Float32s(); err != nil || !slices.Equal(x, floats) {
			t.Errorf("%s: the original is %v, %v", name, x, err)
		}
		if x, err := patched.Tensor("w::untied").Float32s(); err != nil || slices.Max(x) != 0 {
			t.Errorf("%s: the copy is %v, %v", name, x, err)
		}
		for _, w := range patched.Weights() {
			if w.Tensor.Name == "w::untied" && w.Path != "head.weight" {
				t.Errorf("%s: the copy is called %q", name, w.Path)
			}
		}
	}
}

func TestUntiedUses(t *testing.T) {
	b := tied(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()))
	b.Float("w::untied", []int{1}, []float32{0})
	b.Output("w::untied", onnx.Float)
	m := writeModel(t, "", b.Bytes())
	w := m.Tensor("w")
	twice := usesOf(m, "w", "twice")
	if len(twice) != 2 {
		t.Fatalf("%d uses", len(twice))
	}
	second, err := m.Untied(w, twice[1:])
	if err != nil {
		t.Fatal(err)
	}
	if n := second.Nodes[twice[0].Node.Index]; !slices.Equal(n.Inputs, []string{"w", "r", "w::untied_2", "last"}) {
		t.Errorf("inputs %q", n.Inputs)
	}
	_, err = m.Untied(w, usesOf(m, "w", "/head/MatMul"))
	var format *onnx.FormatError
	if !errors.As(err, &format) || !strings.Contains(err.Error(), `"/tail/MatMul"`) || !strings.Contains(err.Error(), `"transpose"`) || format.Hint() == "" {
		t.Errorf("two uses through one node: %v", err)
	}
	// A Constant in a graph without initializers.
	b = onnxtest.New(20)
	b.Input("x", onnx.Float, 1)
	b.Constant("c", onnxtest.Tensor("", onnx.Float, []int{1}).Raw([]byte{0, 0, 0x80, 0x3f}))
	b.Node("Add", []string{"x", "c"}, []string{"s"}).Name("first")
	b.Node("Add", []string{"s", "c"}, []string{"y"}).Name("second")
	b.Output("y", onnx.Float, 1)
	data := b.Bytes()
	before := bytes.Clone(data)
	if m, err = onnx.Parse(data, ""); err != nil {
		t.Fatal(err)
	}
	untied, err := m.Untied(m.Tensor("c"), usesOf(m, "c", "second"))
	if err != nil {
		t.Fatal(err)
	}
	if x, err := untied.Tensor("c::untied").Float32s(); err != nil || x[0] != 1 || len(untied.Tensors) != 1 {
		t.Errorf("%v, %v", x, err)
	}
	if !bytes.Equal(data, before) {
		t.Error("the model in memory has changed")
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic without uses")
		}
	}()
	_, _ = m.Untied(m.Tensor("c"), nil)
}
