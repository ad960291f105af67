package onnx_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestUnchanged: once something has been written to the model's file, or to a data file
// that was read, there is no digest and no draft. A file that has taken its place, and a
// data file that was not read, change nothing.
func TestUnchanged(t *testing.T) {
	touch := func(path string) error {
		later := time.Now().Add(time.Hour)
		return os.Chtimes(path, later, later)
	}
	replace := func(path string) error {
		data, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(path+".new", data[1:], 0o600), os.Rename(path+".new", path))
	}
	lengthen := func(path string) error {
		data, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(path, append(data, 0), 0o600))
	}
	for _, c := range []struct {
		name   string
		file   string
		change func(path string) error
		bad    bool
	}{
		{"nothing", "model.onnx", func(string) error { return nil }, false},
		{"time", "model.onnx", touch, true},
		{"longer", "model.onnx", lengthen, true},
		{"replaced", "model.onnx", replace, false},
		{"removed", "model.onnx", os.Remove, false},
		{"data", "w.data", touch, true},
		{"longer data", "w.data", lengthen, true},
		{"replaced data", "w.data", replace, false},
		{"data that were not read", filepath.Join("sub", "c.data"), touch, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			m := externalModel(t, dir)
			defer m.Close()
			if _, err := m.Tensor("a").Float32s(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, c.file)
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			_, err := m.SHA256()
			var changed *onnx.FormatError
			if bad := errors.As(err, &changed); bad != c.bad || bad && changed.Path != path {
				t.Errorf("%v", err)
			}
			if c.bad {
				if _, err := m.Draft(filepath.Join(dir, "out.onnx"), onnx.Edits{}); err == nil {
					t.Error("a draft of what may be half old, half new")
				}
				if _, err := os.Stat(filepath.Join(dir, "out.onnx")); err == nil {
					t.Error("out.onnx is there")
				}
			}
		})
	}
}
