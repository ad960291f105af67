package onnx_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestBackupOnAnotherDisk has a backup made where no link can be.
func TestBackupOnAnotherDisk(t *testing.T) {
	elsewhere, err := os.MkdirTemp("/dev/shm", "onnx-test-*")
	if err != nil {
		t.Skipf("no other file system to write to: %v", err)
	}
	defer os.RemoveAll(elsewhere)
	m := writeModel(t, "", full())
	if os.Link(m.Path, filepath.Join(elsewhere, "probe")) == nil {
		t.Skip("/dev/shm is on the same file system as the temporary folder")
	}
	before := tree(t, filepath.Dir(m.Path))["model.onnx"]
	e := patchOf(m, "raw")
	e.InPlace = true
	for i, want := range []bool{true, false} { // the second would overwrite the first
		d, err := m.Draft(m.Path, e)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.CommitWithBackup(filepath.Join(elsewhere, "backup")); (err == nil) != want {
			t.Errorf("backup %d: %v", i, err)
		}
		if err := d.Discard(); err != nil {
			t.Error(err)
		}
	}
	if files := tree(t, elsewhere); names(files) != "backup" || files["backup"] != before {
		t.Errorf("the backup is not the old file: %s", names(files))
	}
}

// TestDataFileSpeltTwice copies a data file to which the model refers in two ways.
func TestDataFileSpeltTwice(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.data"), raw32(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External("w.data", 0, 24))
	b.External("v", onnx.Float, []int{2, 3}, "./w.data", 0, 24)
	b.Node("Neg", []string{"v"}, []string{"z"})
	m := writeModel(t, dir, b.Bytes())
	target := filepath.Join(t.TempDir(), "out.onnx")
	d, err := m.Draft(target, onnx.Edits{})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range opened.Tensors {
		if x, err := tensor.Float32s(); err != nil || !slices.Equal(x, floats) {
			t.Errorf("%v, %v", x, err)
		}
	}
	if err := errors.Join(opened.Close(), d.Commit()); err != nil {
		t.Fatal(err)
	}
	if files := names(tree(t, filepath.Dir(target))); files != "out.onnx w.data" {
		t.Errorf("files %s", files)
	}
}

// TestCompareDataFiles compares models whose files are equal but whose data are
// not, and a model with one that has its data inside.
func TestCompareDataFiles(t *testing.T) {
	dirA, dirB := t.TempDir(), t.TempDir()
	a, b := externalModel(t, dirA), externalModel(t, dirB)
	if c := compare(t, a, b); !c.Same || len(c.DataFiles) != 2 || !c.DataFiles[0].Same || c.DataFiles[0].SizeA != 48 {
		t.Errorf("equal models: %+v", c)
	}
	path := filepath.Join(dirB, "w.data")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[3] = 0x40 // a's first element, from 0 to 2
	if err := errors.Join(os.Remove(path), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	b = externalModelAt(t, dirB)
	c := compare(t, a, b)
	if c.Same || c.BytesChanged != 0 || len(c.Tensors) != 1 || c.Tensors[0].Name != "a" || c.Tensors[0].ElementsChanged != 1 || c.Tensors[0].NormDelta != 2 || c.DataFiles[0].Same || !c.DataFiles[1].Same {
		t.Errorf("one element differs: %+v", c)
	}
	inlined := filepath.Join(dirA, "inlined.onnx")
	same, err := a.Tensor("b").Float32s()
	if err != nil {
		t.Fatal(err)
	}
	commit(t, a, inlined, onnx.Edits{Weights: map[*onnx.Tensor][]float32{a.Tensor("b"): same}})
	b, err = onnx.Open(inlined)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c = compare(t, a, b)
	if got := lines(c); c.Same || !slices.Equal(got, []string{"tensor b: stored as external → raw_data"}) || c.Tensors[0].ElementsChanged != 0 || !c.Tensors[0].Compared || !c.DataFiles[0].Same {
		t.Errorf("%q, %+v", got, c)
	}
	if err := os.Remove(filepath.Join(dirA, "sub", "c.data")); err != nil {
		t.Fatal(err)
	}
	if _, err := onnx.Compare(a, externalModelAt(t, dirA)); err == nil {
		t.Error("a missing data file is not an error")
	}
	if !bytes.Equal(data, []byte(tree(t, dirB)["w.data"])) {
		t.Error("a data file has changed")
	}
}

// externalModelAt opens the model that externalModel has written.
func externalModelAt(t *testing.T, dir string) *onnx.Model {
	t.Helper()
	m, err := onnx.Open(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}
