//go:build unix

package onnx_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestExternalLocations has a model name its data file in every way that could lead
// elsewhere, and drafts a copy of it into another folder. What is refused for
// reading is refused for copying, and what is copied is a file of its own.
func TestExternalLocations(t *testing.T) {
	root := t.TempDir()
	inside, outside := filepath.Join(root, "model"), filepath.Join(root, "outside")
	for _, dir := range []string{inside, outside, filepath.Join(inside, "sub")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(inside, "w.data"), filepath.Join(inside, "sub", "w.data"), filepath.Join(outside, "w.data"), filepath.Join(inside, `back\slash`)} {
		if err := os.WriteFile(path, raw32(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"file-out": "../outside/w.data", "file-out-absolute": filepath.Join(outside, "w.data"), "dir-out": "../outside", "zero": "/dev/zero",
		"file-in": "w.data", "dir-in": "sub", "loop": "loop", "out-and-in": "../model/w.data",
	} {
		if err := os.Symlink(to, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Link(filepath.Join(outside, "w.data"), filepath.Join(inside, "hard")), syscall.Mkfifo(filepath.Join(inside, "pipe"), 0o644)); err != nil {
		t.Fatal(err)
	}
	const outsideFolder, notRegular, unreadable, missing = "lies outside the model's folder", "is not a regular file", "cannot be read", "is missing"
	for location, says := range map[string]string{
		"w.data":                          "",
		"./w.data":                        "",
		"sub/w.data":                      "",
		"sub/../w.data":                   outsideFolder,
		"sub//w.data":                     "",
		"file-in":                         "",
		"dir-in/w.data":                   "",
		"hard":                            "",
		`back\slash`:                      "",
		"../outside/w.data":               outsideFolder,
		"sub/../../outside/w.data":        outsideFolder,
		"..":                              outsideFolder,
		filepath.Join(inside, "w.data"):   outsideFolder,
		"/dev/zero":                       outsideFolder,
		"file-out":                        unreadable,
		"file-out-absolute":               unreadable,
		"dir-out/w.data":                  unreadable,
		"out-and-in":                      unreadable,
		"zero":                            unreadable,
		"loop":                            unreadable,
		"w.data\x00":                      unreadable,
		"w.data\x00/../../outside/w.data": outsideFolder,
		"w.data/":                         unreadable,
		"w.data/.":                        unreadable,
		".":                               notRegular,
		"sub":                             notRegular,
		"sub/":                            notRegular,
		"pipe":                            notRegular,
		`..\outside\w.data`:               missing,
		`sub\w.data`:                      missing,
		"file:w.data":                     missing,
		strings.Repeat("n", 4000):         unreadable,
	} {
		path := filepath.Join(inside, "m.onnx")
		if err := os.WriteFile(path, build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External(location, 0, 24)).Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Open(path)
		if err != nil {
			t.Errorf("%q: %v", location, err)
			continue
		}
		checked := m.Tensor("w").CheckData()
		got, read := m.Tensor("w").Float32s()
		target := t.TempDir()
		d, drafted := m.Draft(filepath.Join(target, "out.onnx"), onnx.Edits{})
		if says != "" {
			for _, err := range []error{checked, read, drafted} {
				var format *onnx.FormatError
				if !errors.As(err, &format) || !strings.Contains(err.Error(), says) {
					t.Errorf("%q: %v; expected %q", location, err, says)
				}
			}
			if left, err := os.ReadDir(target); err != nil || len(left) > 0 {
				t.Errorf("%q: a refused draft left %v", location, left)
			}
		} else if err := errors.Join(checked, read, drafted); err != nil || !slices.Equal(got, floats) {
			t.Errorf("%q: %v, %v", location, got, err)
		}
		if drafted == nil {
			if err := d.Commit(); err != nil {
				t.Fatal(err)
			}
			copied := d.DataFiles()[0].Path
			original, errA := os.Stat(filepath.Join(inside, filepath.Clean(location)))
			info, errB := os.Lstat(copied)
			if err := errors.Join(errA, errB); err != nil || !info.Mode().IsRegular() || os.SameFile(original, info) {
				t.Errorf("%q: the copy is %v, %v", location, info, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestExternalKeys has a model describe its data wrongly: offsets and lengths are
// checked against the file before anything is read.
func TestExternalKeys(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.data"), raw32(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		offset, length int64
		says           string
	}{
		{0, 24, ""},
		{0, -1, ""},
		{0, 23, "its external data have 23"},
		{0, math.MaxInt64, "its external data have 9223372036854775807"},
		{1, 24, "the file has only 24 bytes"},
		{1 << 31, 24, "the file has only 24 bytes"},
		{1 << 32, 24, "the file has only 24 bytes"},
		{math.MaxInt64, 24, "the file has only 24 bytes"},
	} {
		m, err := onnx.Parse(build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External("w.data", c.offset, c.length)).Bytes(), dir)
		if err == nil {
			err = m.Tensor("w").CheckData()
		}
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("offset %d, length %d: %v; expected %q", c.offset, c.length, err, c.says)
		}
	}
}

// TestDataFileReplaced replaces the data file after it was read: a copy of what is
// there now would not be what was treated.
func TestDataFileReplaced(t *testing.T) {
	dir := t.TempDir()
	data, path := filepath.Join(dir, "w.data"), filepath.Join(dir, "m.onnx")
	for _, replace := range []func() error{
		func() error { // by a file of the same length
			next := filepath.Join(dir, "next")
			return errors.Join(os.WriteFile(next, make([]byte, 24), 0o644), os.Rename(next, data))
		},
		func() error { return os.Truncate(data, 25) },
	} {
		if err := errors.Join(os.WriteFile(data, raw32(), 0o644),
			os.WriteFile(path, build(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).External("w.data", 0, 24)).Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Tensor("w").Float32s(); err != nil {
			t.Fatal(err)
		}
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Draft(filepath.Join(t.TempDir(), "out.onnx"), onnx.Edits{}); err == nil || !strings.Contains(err.Error(), "has changed since it was read") {
			t.Errorf("error %v", err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestDataFilePointer: a data file that was not fetched, or is an answer of a server,
// is called that.
func TestDataFilePointer(t *testing.T) {
	dir := t.TempDir()
	for content, says := range map[string]string{
		"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4000\n": "Git LFS pointer",
		"<!DOCTYPE html><html><body>404</body></html>":                          "web page",
		"short": "the file has only 5 bytes",
	} {
		if err := os.WriteFile(filepath.Join(dir, "w.data"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Parse(build(onnxtest.Tensor("w", onnx.Float, []int{20, 50}).External("w.data", 0, 4000)).Bytes(), dir)
		if err == nil {
			err = m.Tensor("w").CheckData()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; expected %q", err, says)
		}
	}
}
