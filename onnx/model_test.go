package onnx_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func TestGraph(t *testing.T) {
	b := onnxtest.New(17)
	b.IR(8)
	b.Producer("pytorch", "2.15")
	b.Domain("com.microsoft", 1)
	b.Metadata("author", "nobody")
	b.Input("x", onnx.Float, "batch", 4, "")
	b.Input("w", onnx.Float, 4) // an initializer: not an input
	b.Float("w", []int{4}, []float32{1, 2, 3, 4})
	// Not in topological order; duplicate, absent and missing operands.
	b.Node("Sum", []string{"d", "x", "d", ""}, []string{"y"})
	b.Node("Mul", []string{"x", "x"}, []string{"d"}).Name("twice")
	b.Node("Clip", []string{"x", "", "w"}, []string{"", "c"}).Domain("com.microsoft").Metadata("pkg.torch.onnx.name_scopes", "['', 'a.b', 'clip']")
	b.Node("Random", nil, []string{"r"})
	b.Output("y", onnx.Float, "batch", 4)
	b.Output("y", onnx.Float16)
	m := parse(t, b)

	if m.IRVersion != 8 || m.Producer != "pytorch" || m.ProducerVersion != "2.15" || m.GraphName != "main_graph" || m.Metadata["author"] != "nobody" {
		t.Errorf("header %+v", m)
	}
	if m.Opset("") != 17 || m.Opset("ai.onnx") != 17 || m.Opset("com.microsoft") != 1 || m.Opset("none") != 0 {
		t.Errorf("opsets %v", m.Opsets)
	}
	if len(m.Inputs) != 1 || !slices.Equal(m.Inputs[0].Shape, []onnx.Dim{{Value: -1, Param: "batch"}, {Value: 4}, {Value: -1}}) {
		t.Errorf("inputs %v", m.Inputs)
	}
	for i, want := range []struct {
		label           string
		inputs, outputs []string
	}{
		{`node "twice" (Mul)`, []string{"x", "x"}, []string{"d"}},
		{`node #1 (Sum, output "y")`, []string{"d", "x", "d", ""}, []string{"y"}},
		{`node #2 (Clip, output "c")`, []string{"x", "", "w"}, []string{"", "c"}},
		{`node #3 (Random, output "r")`, []string{}, []string{"r"}},
	} {
		n := m.Nodes[i]
		if n.Label() != want.label || !slices.Equal(n.Inputs, want.inputs) || !slices.Equal(n.Outputs, want.outputs) {
			t.Errorf("node %d: %s %q → %q", i, n.Label(), n.Inputs, n.Outputs)
		}
	}
	if n := m.Nodes[2]; n.Domain != "com.microsoft" || !slices.Equal(n.Scopes, []string{"", "a.b", "clip"}) {
		t.Errorf("domain %q, scopes %q", n.Domain, n.Scopes)
	}
	if sum, err := m.SHA256(); err != nil || len(sum) != 64 {
		t.Errorf("digest %q, %v", sum, err)
	}
}

func TestAttributes(t *testing.T) {
	b := onnxtest.New(20)
	b.Node("Op", nil, []string{"y"}, onnxtest.Int("i", -3), onnxtest.Ints("is", 1, -2), onnxtest.IntsPacked("packed", 3, 4),
		onnxtest.Float("f", 0.5), onnxtest.Floats("fs", 1, 2), onnxtest.String("s", "same"), onnxtest.Strings("ss", "a", ""),
		onnxtest.TensorAttr("t", onnxtest.Tensor("", onnx.Float16, []int{1}).Raw([]byte{0, 0x3c})))
	b.Output("y", onnx.Float)
	n := parse(t, b).Nodes[0]
	if n.Int("i", 0) != -3 || n.Int("none", 7) != 7 || n.Int("f", 7) != 7 || !slices.Equal(n.Ints("is"), []int64{1, -2}) ||
		!slices.Equal(n.Ints("packed"), []int64{3, 4}) || n.Ints("none") != nil {
		t.Error("integer attributes")
	}
	if n.Float("f", 0) != 0.5 || !slices.Equal(n.Floats("fs"), []float32{1, 2}) || n.Str("s", "") != "same" || !slices.Equal(n.Strings("ss"), []string{"a", ""}) {
		t.Error("float and string attributes")
	}
	if x, err := n.Tensor("t").Float32s(); err != nil || x[0] != 1 || n.Tensor("i") != nil {
		t.Errorf("tensor attribute: %v, %v", x, err)
	}
	if want := []string{"f", "fs", "i", "is", "packed", "s", "ss", "t"}; !slices.Equal(n.Attributes(), want) || !n.Has("t") || n.Has("u") {
		t.Errorf("attributes %q", n.Attributes())
	}
}

func TestUnsupported(t *testing.T) {
	b := onnxtest.New(20)
	b.Input("x", onnx.Float, 1)
	b.Node("Loop", []string{"", "", "x"}, []string{"a"}, onnxtest.Graph("body", nil)).Name("loop")
	b.Node("Add", []string{"a", "sparse"}, []string{"y"})
	b.Output("y", onnx.Float, 1)
	b.GraphField(15, []byte("\x0a\x08\x42\x06sparse")) // values, with that name
	m := parse(t, b)
	if m.SparseInitializers != 1 {
		t.Errorf("%d sparse initializers", m.SparseInitializers)
	}
	var nodes []string
	for _, u := range m.Unsupported() {
		nodes = append(nodes, u.Node)
		if u.Reason == "" {
			t.Errorf("no reason for %+v", u)
		}
	}
	if want := []string{"", `node "loop" (Loop)`}; !slices.Equal(nodes, want) {
		t.Errorf("unsupported %q, expected %q", nodes, want)
	}
}

func TestUses(t *testing.T) {
	b := onnxtest.New(20)
	b.Input("x", onnx.Float, 2, 2)
	b.Float("w", []int{2, 2}, make([]float32, 4))
	b.Float("blocks.0.fc.bias", []int{2}, make([]float32, 2))
	b.Float("unused", []int{1}, make([]float32, 1))
	b.Node("Identity", []string{"w"}, []string{"v"})
	b.Node("Transpose", []string{"v"}, []string{"wt"})
	b.Node("MatMul", []string{"x", "wt"}, []string{"p"})
	b.Node("Add", []string{"p", "blocks.0.fc.bias"}, []string{"q"})
	b.Node("MatMul", []string{"q", "v"}, []string{"y"}).Name("/blocks.1/fc/MatMul")
	b.Output("y", onnx.Float, 2, 2)
	weights := parse(t, b).Weights()
	if len(weights) != 3 || len(weights[2].Uses) != 0 {
		t.Fatalf("%d weights", len(weights))
	}
	w := weights[0]
	if len(w.Uses) != 2 {
		t.Fatalf("%d uses", len(w.Uses))
	}
	for i, want := range []struct{ node, chain, path string }{
		{"MatMul", "Identity Transpose", "blocks.0.fc.weight"},
		{"MatMul", "Identity", "blocks.1.fc.weight"},
	} {
		var chain []string
		for _, n := range w.Uses[i].Chain {
			chain = append(chain, n.OpType)
		}
		if u := w.Uses[i]; u.Node.OpType != want.node || u.Input != 1 || strings.Join(chain, " ") != want.chain || u.Path != want.path {
			t.Errorf("use %d: %s input %d through %q as %q", i, u.Node.OpType, u.Input, chain, u.Path)
		}
	}
	if w.Path != "w" || w.Source != onnx.FromTensor {
		t.Errorf("path %q from %s", w.Path, w.Source)
	}
}

// TestPathsAreUnique has one module use three weights that nothing tells apart
// but their order.
func TestPathsAreUnique(t *testing.T) {
	b := onnxtest.New(17)
	b.Input("x", onnx.Float, 1, 1)
	value := "x"
	for i := range 3 {
		name := fmt.Sprintf("onnx::MatMul_%d", i)
		b.Float(name, []int{1, 1}, []float32{1})
		output := fmt.Sprintf("/a/MatMul_%d_output_0", i)
		b.Node("MatMul", []string{value, name}, []string{output})
		value = output
	}
	b.Float("a.weight_2", []int{1}, []float32{1})
	b.Output(value, onnx.Float, 1, 1)
	var paths []string
	for _, w := range parse(t, b).Weights() {
		paths = append(paths, w.Path)
	}
	if want := []string{"a.weight", "a.weight_3", "a.weight_4", "a.weight_2"}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, expected %q", paths, want)
	}
}

// TestBadFiles gives Open what people give it by mistake, and what is broken.
func TestBadFiles(t *testing.T) {
	good := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32())).Bytes()
	cut := len(good) * 2 / 3
	edit := func(change func(*onnxtest.Builder)) []byte {
		b := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()))
		change(b)
		return b.Bytes()
	}
	stored := func(w *onnxtest.TensorProto) []byte { return build(w).Bytes() }
	tensor := func(shape ...int) *onnxtest.TensorProto { return onnxtest.Tensor("w", onnx.Float, shape) }
	for _, c := range []struct {
		name     string
		data     []byte
		mentions string
		hint     string // in the hint; "-" where none is needed
	}{
		{"empty", nil, "empty", "again"},
		{"Git LFS", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "Git LFS pointer", "git lfs pull"},
		{"JPEG", []byte("\xff\xd8\xff\xe0\x00\x10JFIF"), "JPEG", ".onnx"},
		{"PNG", []byte("\x89PNG\r\n\x1a\n"), "PNG", ".onnx"},
		{"checkpoint", []byte("PK\x03\x04\x00\x00"), "ZIP", "torch.onnx.export"},
		{"gzip", []byte("\x1f\x8b\x08\x00"), "gzip", "gunzip"},
		{"pickle", []byte("\x80\x02}q\x00."), "pickle", "torch.onnx.export"},
		{"web page", []byte("\n<!DOCTYPE html><html>"), "web page", "link"},
		{"truncated", good[:cut], "ends after", "cut short"},
		{"text", []byte("hello, world"), "not a well-formed", ".onnx"},
		{"no graph", []byte{0x08, 0x0a}, "no graph", ".onnx"},
		{"two graphs", append(slices.Clone(good), 0x3a, 0x00), "2 graphs", ""},
		{"no nodes", []byte{0x3a, 0x05, 0x62, 0x03, 0x0a, 0x01, 'y'}, "no nodes", ""},
		{"no outputs", []byte{0x3a, 0x02, 0x0a, 0x00}, "no outputs", ""},
		{"made twice", edit(func(b *onnxtest.Builder) { b.Node("Neg", []string{"x"}, []string{"y"}).Name("again") }), `node "again" (Neg): the value "y"`, ""},
		{"initializer made", edit(func(b *onnxtest.Builder) { b.Node("Neg", []string{"x"}, []string{"w"}) }), `the value "w"`, ""},
		{"undefined", edit(func(b *onnxtest.Builder) { b.Node("Neg", []string{"z"}, []string{"n"}) }), `its input "z"`, "weights"},
		{"output undefined", edit(func(b *onnxtest.Builder) { b.Output("z", onnx.Float) }), `output "z"`, ""},
		{"cycle", edit(func(b *onnxtest.Builder) {
			b.Node("Neg", []string{"p"}, []string{"q"})
			b.Node("Neg", []string{"q"}, []string{"p"})
		}), "its own output", ""},
		{"two initializers", edit(func(b *onnxtest.Builder) { b.Float("w", []int{1}, []float32{0}) }), `tensor "w": two`, ""},
		{"not UTF-8", edit(func(b *onnxtest.Builder) { b.Node("Neg", []string{"x"}, []string{"\xff"}) }), "UTF-8", ""},
		{"no outputs of a node", edit(func(b *onnxtest.Builder) { b.Node("Neg", []string{"x"}, nil) }), "an output", ""},
		{"attribute twice", edit(func(b *onnxtest.Builder) {
			b.Node("Op", []string{"x"}, []string{"z"}, onnxtest.Int("a", 1), onnxtest.Int("a", 2))
		}), `attribute "a"`, "-"},
		{"segment", stored(tensor(2, 3).Raw(raw32()).Field(3, nil)), `tensor "w": the tensor is stored in segments`, ""},
		{"raw twice", stored(tensor(2, 3).Raw(raw32()).Field(9, raw32())), "expected one", "-"},
		{"raw too short", stored(tensor(2, 4).Raw(raw32())), "needs 32 bytes, raw_data has 24", "-"},
		{"too many floats", stored(tensor(2, 2).Floats(floats...)), "needs 4 elements, float_data has 6", "-"},
		{"odd float_data", stored(tensor(1).Field(4, []byte{1, 2, 3})), "multiple of 4", "-"},
		{"no data", stored(tensor(2, 3)), "the file holds none", "weights"},
		{"wrong field", stored(tensor(1).Int64s(1)), "field 7", "-"},
		{"negative dimension", stored(tensor(-1).Raw(nil)), "dimension 0 has the size -1", "-"},
		{"overflow", stored(tensor(1<<40, 1<<40)), "more elements", "-"},
		{"unknown type", stored(onnxtest.Tensor("w", 99, []int{1}).Raw([]byte{0})), "data type 99", "-"},
		{"no location", stored(tensor(2, 3).External("", 0, 24)), "location", "-"},
		{"negative offset", stored(tensor(2, 3).Field(13, []byte("\x0a\x06offset\x12\x02-1")).External("d", -1, 24)), `offset "-1"`, "-"},
		{"external length", stored(tensor(2, 3).External("d", 0, 23)), "external data have 23", "-"},
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := onnx.Open(path)
		var format *onnx.FormatError
		if !errors.As(err, &format) {
			t.Errorf("%s: error %v", c.name, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), c.mentions) {
			t.Errorf("%s: %q does not mention the file and %q on one line", c.name, err, c.mentions)
		}
		if c.hint != "-" && (format.Hint() == "" || !strings.Contains(format.Hint(), c.hint)) {
			t.Errorf("%s: the hint %q does not mention %q", c.name, format.Hint(), c.hint)
		}
	}
}

func TestBadPaths(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vit.onnx"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := onnx.Open(filepath.Join(dir, "absent.onnx"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	_, err = onnx.Open(dir)
	var format *onnx.FormatError
	if !errors.As(err, &format) || !strings.Contains(format.Hint(), "vit.onnx") {
		t.Errorf("folder: %v", err)
	}
}
