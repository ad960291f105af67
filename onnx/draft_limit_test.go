//go:build unix

package onnx_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestDraftToFullDisk writes, in a process of its own, beyond the largest file
// that it may write, which the system answers as it does a full disk: with a
// write that is cut short, then with an error.
func TestDraftToFullDisk(t *testing.T) {
	if from, target, ok := task(); ok {
		signal.Ignore(syscall.SIGXFSZ)
		const limit = 1 << 20
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Draft(target, onnx.Edits{})
		checkFailed(t, err, target, syscall.EFBIG, "bytes are needed")
		return
	}
	target := filepath.Join(t.TempDir(), "out.onnx")
	c := child(t.Name(), largeModel(t)+"\n"+target)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if entries, err := os.ReadDir(filepath.Dir(target)); err != nil || len(entries) != 0 {
		t.Errorf("stray files: %v, %v", entries, err)
	}
}

// TestDraftDataToFullDisk has the limit met by a data file that is copied.
func TestDraftDataToFullDisk(t *testing.T) {
	if from, target, ok := task(); ok {
		signal.Ignore(syscall.SIGXFSZ)
		const limit = 30 // bytes, of 48
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Draft(filepath.Join(target, "out.onnx"), onnx.Edits{})
		checkFailed(t, err, filepath.Join(target, "w.data"), syscall.EFBIG, "bytes are needed")
		return
	}
	dir := t.TempDir()
	m := externalModel(t, t.TempDir())
	c := child(t.Name(), m.Path+"\n"+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
