//go:build unix

package onnx_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestDataBeyondFourGigabytes reads, drafts and compares a model whose external data
// take more than 4 GiB, nearly all of them a hole, with one tensor of more than 2 GiB
// and others on both sides of the places where 31 and 32 bits end.
func TestDataBeyondFourGigabytes(t *testing.T) {
	if testing.Short() {
		t.Skip("reads some gigabytes of zeros")
	}
	dir := t.TempDir()
	data, err := os.Create(filepath.Join(dir, "w.data"))
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	places := map[string]int64{"first": 0, "across31": 1<<31 - 8, "behind31": 1<<31 + 64, "across32": 1<<32 - 8, "behind32": 1<<32 + 1<<20}
	b := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()))
	for name, offset := range places {
		b.External(name, onnx.Float, []int{2, 3}, "w.data", offset, 24)
		b.Node("Neg", []string{name}, []string{"-" + name})
		if _, err := data.WriteAt(raw32(), offset); err != nil {
			t.Fatal(err)
		}
	}
	const large = 1<<29 + 1<<10 // elements
	b.External("large", onnx.Float, []int{large}, "w.data", 1<<30, 4*large)
	b.Node("Neg", []string{"large"}, []string{"-large"})
	const end = 1<<32 + 1<<21 // a hole at the end
	if err := data.Truncate(end); err != nil {
		t.Fatal(err)
	}
	if onDisk(t, data.Name()) > 1<<20 {
		t.Skip("the file system has no holes")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m := writeModel(t, dir, b.Bytes())
	defer m.Close()
	for name := range places {
		if x, err := m.Tensor(name).Float32s(); err != nil || !slices.Equal(x, floats) {
			t.Errorf("%s: %v, %v", name, x, err)
		}
	}
	if x, err := m.Tensor("large").Float32s(); err != nil || len(x) != large || math.Float32bits(x[1<<28-2]) != binary.LittleEndian.Uint32(raw32()) {
		t.Errorf("%d elements, %v", len(x), err)
	}
	for _, folder := range []string{dir, t.TempDir()} {
		target := filepath.Join(folder, "out.onnx")
		d, err := m.Draft(target, patchOf(m, "across32"))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(folder, "w.data")
		if info, err := os.Stat(copied); err != nil || info.Size() != end || onDisk(t, copied) > 16<<20 {
			t.Errorf("the data file takes %d bytes of the disk, %v", onDisk(t, copied), err)
		}
		treated, err := onnx.Open(target)
		if err != nil {
			t.Fatal(err)
		}
		for name := range places {
			want := floats
			if name == "across32" {
				want = changes
			}
			if x, err := treated.Tensor(name).Float32s(); err != nil || !slices.Equal(x, want) {
				t.Errorf("%s after the draft: %v, %v", name, x, err)
			}
		}
		if folder != dir { // another file, to be read from end to end
			if c := compare(t, m, treated); len(c.Tensors) != 1 || c.Tensors[0].Name != "across32" {
				t.Errorf("changed are %q", lines(c))
			}
		}
		if err := treated.Close(); err != nil {
			t.Error(err)
		}
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
		t.Errorf("%d bytes allocated", allocated)
	}
	// The last byte is missing.
	if err := os.Truncate(data.Name(), places["behind32"]+23); err != nil {
		t.Fatal(err)
	}
	short, err := onnx.Open(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer short.Close()
	if err := short.Tensor("behind32").CheckData(); err == nil {
		t.Error("a tensor that ends after its file was accepted")
	}
}

// onDisk is how much of the disk a file takes, in bytes.
func onDisk(t *testing.T, path string) int64 {
	t.Helper()
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Blocks) * 512
}
