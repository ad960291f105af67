package onnx_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// externalModel writes a model to dir with the tensors "a" and "b" in w.data, "c"
// in sub/c.data, and "inside" in the file itself.
func externalModel(t *testing.T, dir string) *onnx.Model {
	t.Helper()
	data := slices.Concat(raw32(), raw32())
	binary.LittleEndian.PutUint32(data[24:], math.Float32bits(9)) // of b
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"w.data": data, "sub/c.data": raw32(), "stray.data": raw32()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shape := []int{2, 3}
	b := onnxtest.New(20)
	b.Input("x", onnx.Float, "batch", 2, 3)
	b.Initializer(onnxtest.Tensor("a", onnx.Float, shape).External("w.data", 0, 24).Field(9, nil))
	b.Initializer(onnxtest.Tensor("b", onnx.Float, shape).External("w.data", 24, 24))
	b.Initializer(onnxtest.Tensor("c", onnx.Float, shape).External("sub/c.data", -1, -1))
	b.Initializer(onnxtest.Tensor("inside", onnx.Float, shape).Raw(raw32()))
	b.Node("Sum", []string{"x", "a", "b", "c", "inside"}, []string{"y"})
	b.Output("y", onnx.Float, "batch", 2, 3)
	return writeModel(t, dir, b.Bytes())
}

// tree returns what a folder holds, by relative path; folders have a slash.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			files[filepath.ToSlash(name)+"/"] = ""
			return nil
		}
		if d.Type()&os.ModeSymlink != 0 {
			files[filepath.ToSlash(name)], err = os.Readlink(path)
			return err
		}
		data, err := os.ReadFile(path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// names returns the sorted names of a tree.
func names(files map[string]string) string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// patchOf edits the tensors of those names.
func patchOf(m *onnx.Model, names ...string) onnx.Edits {
	e := onnx.Edits{Weights: map[*onnx.Tensor][]float32{}}
	for _, name := range names {
		e.Weights[m.Tensor(name)] = changes
	}
	return e
}

func TestDraftBesideExternalData(t *testing.T) {
	dir := t.TempDir()
	m := externalModel(t, dir)
	before := tree(t, dir)
	target := filepath.Join(dir, "out.onnx")
	for _, patched := range [][]string{nil, {"a"}, {"inside"}, {"a", "c"}, {"a", "b", "c", "inside"}} {
		checkDraft(t, m, target, patchOf(m, patched...))
	}
	after := tree(t, dir)
	delete(after, "out.onnx")
	if names(before) != names(after) || before["w.data"] != after["w.data"] || before["model.onnx"] != after["model.onnx"] {
		t.Errorf("files %s, expected %s, unchanged", names(after), names(before))
	}
	d, err := m.Draft(target, patchOf(m, "c"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	if files := d.DataFiles(); len(files) != 1 || files[0] != (onnx.DataFile{Location: "w.data", Path: filepath.Join(dir, "w.data"), Size: 48}) {
		t.Errorf("data files %+v", files)
	}
}

func TestDraftIntoAnotherFolder(t *testing.T) {
	m := externalModel(t, t.TempDir())
	for _, c := range []struct {
		patched  []string
		existing map[string]string
		files    string // in the folder afterwards
		copied   []bool // of the data files
	}{
		{nil, nil, "out.onnx sub/ sub/c.data w.data", []bool{true, true}},
		{[]string{"c"}, nil, "out.onnx w.data", []bool{true}},
		{[]string{"a"}, nil, "out.onnx sub/ sub/c.data w.data", []bool{true, true}},
		{[]string{"a", "b", "c"}, nil, "out.onnx", nil},
		{[]string{"a"}, map[string]string{"sub/c.data": string(raw32())}, "out.onnx sub/ sub/c.data w.data", []bool{true, false}},
		{[]string{"a"}, map[string]string{"sub/other": ""}, "out.onnx sub/ sub/c.data sub/other w.data", []bool{true, true}},
	} {
		dir := t.TempDir()
		for name, text := range c.existing {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := names(tree(t, dir))
		target := filepath.Join(dir, "out.onnx")
		d, err := m.Draft(target, patchOf(m, c.patched...))
		if err != nil {
			t.Fatal(err)
		}
		var copied []bool
		for _, f := range d.DataFiles() {
			copied = append(copied, f.Copied)
		}
		if !slices.Equal(copied, c.copied) {
			t.Errorf("%v: data files %+v", c.patched, d.DataFiles())
		}
		opened, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		comparison := compare(t, m, opened) // before anything has its name
		if len(comparison.Tensors) != len(c.patched) {
			t.Errorf("%v: changed are %q", c.patched, lines(comparison))
		}
		for _, tensor := range opened.Tensors {
			x, err := tensor.Float32s()
			want := slices.Clone(floats)
			if tensor.Name == "b" {
				want[0] = 9
			}
			if slices.Contains(c.patched, tensor.Name) {
				want = changes
			}
			if err := errors.Join(err, tensor.CheckData()); err != nil || !slices.Equal(x, want) {
				t.Errorf("%v: %s is %v in the draft, %v; expected %v", c.patched, tensor.Name, x, err, want)
			}
		}
		if err := errors.Join(opened.Close(), d.Discard()); err != nil {
			t.Error(err)
		}
		if after := names(tree(t, dir)); after != before {
			t.Errorf("%v: after Discard there are %s, expected %s", c.patched, after, before)
		}
		checkDraft(t, m, target, patchOf(m, c.patched...))
		files := tree(t, dir)
		if names(files) != c.files || files["sub/c.data"] != "" && files["sub/c.data"] != string(raw32()) {
			t.Errorf("%v: files %s, expected %s", c.patched, names(files), c.files)
		}
		// A second draft into the same folder finds the data files there.
		checkDraft(t, m, target, patchOf(m, c.patched...))
	}
}

func TestDraftRefused(t *testing.T) {
	source := t.TempDir()
	m := externalModel(t, source)
	outside := t.TempDir()
	folder := func(fill func(dir string)) string {
		dir := t.TempDir()
		fill(dir)
		return dir
	}
	put := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, path string) {
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(source, "model.onnx"), filepath.Join(source, "hard.onnx")); err != nil {
		t.Fatal(err)
	}
	link("model.onnx", filepath.Join(source, "soft.onnx"))
	for name, c := range map[string]struct{ target, mentions string }{
		"the model":            {m.Path, "the model itself"},
		"a link to the model":  {filepath.Join(source, "soft.onnx"), "the model itself"},
		"the model, twice":     {filepath.Join(source, "hard.onnx"), "the model itself"},
		"its data file":        {filepath.Join(source, "w.data"), `tensor "a"`},
		"its nested data file": {filepath.Join(source, "sub", "c.data"), `tensor "c"`},
		"a folder":             {source, "this is a folder"},
		"no folder":            {filepath.Join(source, "none", "out.onnx"), "there is no folder"},
		"below a file":         {filepath.Join(source, "w.data", "out.onnx"), "not a directory"},
		"a name of its data":   {filepath.Join(t.TempDir(), "w.data"), "must lie beside it"},
		"other content": {filepath.Join(folder(func(dir string) { put(dir, "w.data", "other") }), "out.onnx"),
			"a file of that name with other content exists"},
		"other content of the same length": {filepath.Join(folder(func(dir string) { put(dir, "w.data", strings.Repeat("x", 48)) }), "out.onnx"),
			"a file of that name with other content exists"},
		"a file that leads out": {filepath.Join(folder(func(dir string) {
			put(outside, "w.data", "")
			link(filepath.Join(outside, "w.data"), filepath.Join(dir, "w.data"))
		}), "out.onnx"), "cannot be put here"},
		"a folder that leads out": {filepath.Join(folder(func(dir string) { link(outside, filepath.Join(dir, "sub")) }), "out.onnx"), "cannot be put here"},
		"a link to nothing":       {filepath.Join(folder(func(dir string) { link("nothing", filepath.Join(dir, "w.data")) }), "out.onnx"), "cannot be put here"},
		"not a regular file": {filepath.Join(folder(func(dir string) {
			if err := os.Mkdir(filepath.Join(dir, "w.data"), 0o755); err != nil {
				t.Fatal(err)
			}
		}), "out.onnx"), "not a regular file"},
		"a device": {os.DevNull, "not a regular file"},
	} {
		dir := filepath.Dir(c.target)
		var before map[string]string
		if info, err := os.Stat(dir); err == nil && info.IsDir() && name != "a device" {
			before = tree(t, dir)
		}
		_, err := m.Draft(c.target, patchOf(m, "inside"))
		var refused *onnx.WriteError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.mentions) || refused.Hint() == "" && name != "a device" {
			t.Errorf("%s: %v; expected %q and a hint", name, err, c.mentions)
		}
		if before != nil && names(tree(t, dir)) != names(before) {
			t.Errorf("%s: files %s, were %s", name, names(tree(t, dir)), names(before))
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside there are %v", entries)
	}
	if err := os.Remove(filepath.Join(source, "w.data")); err != nil {
		t.Fatal(err)
	}
	_, err := m.Draft(filepath.Join(t.TempDir(), "out.onnx"), onnx.Edits{})
	var format *onnx.FormatError
	if !errors.As(err, &format) || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("a missing data file: %v", err)
	}
}

func TestDraftInPlace(t *testing.T) {
	for _, backup := range []string{"", "model.onnx.bak", "sub/model.bak"} {
		dir := t.TempDir()
		m := externalModel(t, dir)
		before := tree(t, dir)
		e := patchOf(m, "a")
		e.InPlace = true
		d, err := m.Draft(m.Path, e)
		if err != nil {
			t.Fatal(err)
		}
		if backup == "" {
			err = d.Commit()
		} else {
			var exists *onnx.WriteError
			if err := d.CommitWithBackup(filepath.Join(dir, "w.data")); !errors.As(err, &exists) || exists.Hint() == "" {
				t.Errorf("a backup over another file: %v", err)
			}
			if err := d.CommitWithBackup(filepath.Join(dir, "none", "b")); !errors.As(err, &exists) || exists.Hint() == "" {
				t.Errorf("a backup to a folder that does not exist: %v", err)
			}
			if after := tree(t, dir); names(after) != names(before) || after["model.onnx"] != before["model.onnx"] {
				t.Errorf("without a backup there are %s", names(after))
			}
			err = d.CommitWithBackup(filepath.Join(dir, backup))
		}
		if err != nil {
			t.Fatal(err)
		}
		after := tree(t, dir)
		if backup != "" && after[backup] != before["model.onnx"] || after["w.data"] != before["w.data"] || after["model.onnx"] == before["model.onnx"] {
			t.Errorf("files %s", names(after))
		}
		if len(after) != len(before)+min(len(backup), 1) {
			t.Errorf("files %s, were %s", names(after), names(before))
		}
		// The model that was open reads what it read.
		if x, err := m.Tensor("a").Float32s(); err != nil || !slices.Equal(x, floats) {
			t.Errorf("the open model reads %v, %v", x, err)
		}
		patched, err := onnx.Open(m.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer patched.Close()
		checkPatched(t, m, patched, []byte(before["model.onnx"]), []byte(after["model.onnx"]), e)
	}
}

// TestDraftTooLarge takes more weights into the file than it can hold.
func TestDraftTooLarge(t *testing.T) {
	const tensors, elements = 200, 2_700_000 // 2.16 GB
	b := onnxtest.New(20)
	inputs := []string{}
	for i := range tensors {
		inputs = append(inputs, fmt.Sprint("w", i))
		b.External(inputs[i], onnx.Float, []int{elements}, "w.data", int64(i)*4*elements, 4*elements)
	}
	b.Node("Sum", inputs, []string{"y"})
	b.Output("y", onnx.Float, elements)
	m := parse(t, b)
	e := onnx.Edits{Weights: map[*onnx.Tensor][]float32{}}
	x := make([]float32, elements)
	for _, tensor := range m.Tensors {
		e.Weights[tensor] = x
	}
	target := filepath.Join(t.TempDir(), "out.onnx")
	_, err := m.Draft(target, e)
	var format *onnx.FormatError
	if !errors.As(err, &format) || !strings.Contains(err.Error(), "at most 2147483647") || format.Hint() == "" {
		t.Errorf("error %v", err)
	}
	if files := tree(t, filepath.Dir(target)); len(files) != 0 {
		t.Errorf("files %s", names(files))
	}
}
