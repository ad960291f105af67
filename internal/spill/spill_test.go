package spill_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/spill"
)

// numbers counts upwards from a number.
func numbers(from float32, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = from + float32(i)
	}
	return v
}

func write(t *testing.T, f *spill.File, offset int, src []float32) {
	t.Helper()
	if err := f.Write(offset, src); err != nil {
		t.Fatal(err)
	}
}

func expectRead(t *testing.T, f *spill.File, offset int, want []float32) {
	t.Helper()
	got := make([]float32, len(want))
	if err := f.Read(offset, got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("at %d: %v, want %v", offset, got, want)
	}
}

func files(t *testing.T, folder string) []os.DirEntry {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestFile writes and reads parts in any order, and finds no file in the folder at
// any time.
func TestFile(t *testing.T) {
	folder := t.TempDir()
	f := &spill.File{TempDir: folder}
	for range 2 { // a file can be used again after Close
		write(t, f, 60, numbers(60, 40))
		write(t, f, 0, numbers(0, 60))
		write(t, f, 10, numbers(-5, 5))
		write(t, f, 3, nil)
		expectRead(t, f, 0, slices.Concat(numbers(0, 10), numbers(-5, 5), numbers(15, 85)))
		expectRead(t, f, 12, []float32{-3, -2, -1, 15})
		expectRead(t, f, 99, numbers(99, 1))
		expectRead(t, f, 50, nil)
		if found := files(t, folder); len(found) > 0 {
			t.Errorf("%s can be seen", found[0].Name())
		}
		for range 2 {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		if found := files(t, folder); len(found) > 0 {
			t.Errorf("%s is left", found[0].Name())
		}
	}
}

// TestSource: what is written is a copy of the caller's array.
func TestSource(t *testing.T) {
	f := &spill.File{TempDir: t.TempDir()}
	src := numbers(0, 4)
	write(t, f, 0, src)
	src[2] = 9
	expectRead(t, f, 0, numbers(0, 4))
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestShortRead asks for more than was written.
func TestShortRead(t *testing.T) {
	a := &spill.File{TempDir: t.TempDir()}
	defer a.Close()
	if err := a.Read(0, make([]float32, 1)); err == nil {
		t.Error("read before anything was written")
	}
	write(t, a, 0, numbers(0, 4))
	for _, offset := range []int{1, 4, 1000} {
		if err := a.Read(offset, make([]float32, 4)); err == nil || !strings.HasPrefix(err.Error(), "temporary file for activations: ") {
			t.Errorf("4 elements at %d of 4: error %v", offset, err)
		}
	}
}

// TestNoFolder says what to do where no file can be made.
func TestNoFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "missing")
	a := &spill.File{TempDir: folder}
	err := a.Write(0, numbers(0, 4))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), "choose another folder") {
		t.Errorf("error %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closing what was never made: %v", err)
	}
}
