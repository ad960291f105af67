package onnx_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// sparseFile writes long runs of zeros as holes.
type sparseFile struct{ *os.File }

func (f sparseFile) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != 0 {
			return f.File.Write(p)
		}
	}
	_, err := f.Seek(int64(len(p)), io.SeekCurrent)
	return len(p), err
}

// largeModel writes a file of 12 blocks about as large as a ViT-B/16's, 396 MB in
// all, whose weights are zero and take no space on disk.
func largeModel(tb testing.TB) string {
	tb.Helper()
	b := onnxtest.New(20)
	b.Input("x", onnx.Float, "batch", 197, 768)
	zeros := make([]byte, 1<<20)
	weight := func(name string, shape ...int) {
		n := 4 * product(shape)
		b.Initializer(onnxtest.Tensor(name, onnx.Float, shape).Stream(n, func(w io.Writer) error {
			for left := n; left > 0; left -= len(zeros) {
				if _, err := w.Write(zeros[:min(left, len(zeros))]); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	value := "x"
	for block := range 12 {
		for _, layer := range []struct {
			name    string
			in, out int
		}{{"attn.qkv", 768, 2304}, {"attn.proj", 2304, 768}, {"mlp.fc1", 768, 3072}, {"mlp.fc2", 3072, 768}} {
			name := fmt.Sprintf("blocks.%d.%s.weight", block, layer.name)
			weight(name, layer.in, layer.out)
			b.Node("MatMul", []string{value, name}, []string{name + "_output"})
			value = name + "_output"
		}
	}
	b.Output(value, onnx.Float, "batch", 197, 768)
	path := filepath.Join(tb.TempDir(), "large.onnx")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if err := b.Write(sparseFile{f}); err != nil {
		tb.Fatal(err)
	}
	return path
}

// TestLargeModelReadsNoData opens a large file and looks at all of its weights,
// which must cost memory only for the structure.
func TestLargeModelReadsNoData(t *testing.T) {
	path := largeModel(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, w := range m.Weights() {
		if err := w.Tensor.CheckData(); err != nil {
			t.Error(err)
		}
		if x, err := w.Tensor.Float32s(); err != nil || len(x) != w.Tensor.Elements() {
			t.Errorf("%s: %d elements, %v", w.Path, len(x), err)
		}
	}
	runtime.ReadMemStats(&after)
	if m.Size < 340<<20 || len(m.Tensors) != 48 {
		t.Errorf("%d bytes, %d tensors", m.Size, len(m.Tensors))
	}
	const limit = 4 << 20 // bytes, for 48 nodes
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > limit {
		t.Errorf("%d bytes allocated, expected at most %d", allocated, limit)
	}
}

// manyNodes returns a chain of n nodes.
func manyNodes(n int) []byte {
	b := onnxtest.New(20)
	b.Input("0", onnx.Float, 1)
	for i := range n {
		b.Node("Identity", []string{fmt.Sprint(i)}, []string{fmt.Sprint(i + 1)}).Name(fmt.Sprintf("node_%d", i))
	}
	b.Output(fmt.Sprint(n), onnx.Float, 1)
	return b.Bytes()
}

func BenchmarkOpenLarge(b *testing.B) {
	path := largeModel(b)
	b.ReportAllocs()
	for b.Loop() {
		m, err := onnx.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse100000Nodes(b *testing.B) {
	data := manyNodes(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := onnx.Parse(data, ""); err != nil {
			b.Fatal(err)
		}
	}
}
