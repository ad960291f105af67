package onnx

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// TestRead: a model from a stream is the model of the file, its data outlive the
// temporary file's name, and what is too long, empty or cut off is refused.
func TestRead(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("..", "fixtures", "vit-cifar100", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	m, err := Read(iotest.HalfReader(bytes.NewReader(file)), folder)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if m.Path != "" || m.Size != int64(len(file)) {
		t.Errorf("path %q, %d bytes", m.Path, m.Size)
	}
	same, err := Parse(file, "")
	if err != nil {
		t.Fatal(err)
	}
	digest, err1 := m.SHA256()
	want, err2 := same.SHA256()
	if err := errors.Join(err1, err2, m.Close()); err != nil || digest != want {
		t.Errorf("digest %s, want %s; %v", digest, want, err)
	}
	for name, c := range map[string]struct {
		text  string
		limit int64
		want  string
	}{
		"empty":    {"", 100, "the stream is empty"},
		"too long": {strings.Repeat("x", 101), 100, "more than 100 bytes"},
		"cut off":  {string(file[:1000]), 1000, ""},
	} {
		var format *FormatError
		if _, err := read(strings.NewReader(c.text), folder, c.limit); !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := Read(iotest.ErrReader(io.ErrClosedPipe), folder); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a stream that fails: error %v", err)
	}
}
