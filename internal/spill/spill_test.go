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

func write(t *testing.T, a *spill.Array, offset int, src []float32) {
	t.Helper()
	if err := a.Write(offset, src); err != nil {
		t.Fatal(err)
	}
}

func expectRead(t *testing.T, a *spill.Array, offset int, want []float32) {
	t.Helper()
	got, err := a.Read(offset, make([]float32, len(want)))
	if err != nil {
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

// TestArray writes and reads parts in any order, on the heap and in a file, and
// finds no file in the folder at any time.
func TestArray(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		folder := t.TempDir()
		a := &spill.Array{Elements: 100, InFile: inFile, TempDir: folder}
		for range 2 { // an array can be used again after Close
			write(t, a, 60, numbers(60, 40))
			write(t, a, 0, numbers(0, 60))
			write(t, a, 10, numbers(-5, 5))
			write(t, a, 3, nil)
			expectRead(t, a, 0, slices.Concat(numbers(0, 10), numbers(-5, 5), numbers(15, 85)))
			expectRead(t, a, 12, []float32{-3, -2, -1, 15})
			expectRead(t, a, 99, numbers(99, 1))
			expectRead(t, a, 50, nil)
			if found := files(t, folder); len(found) > 0 {
				t.Errorf("in file %v: %s can be seen", inFile, found[0].Name())
			}
			for range 2 {
				if err := a.Close(); err != nil {
					t.Errorf("in file %v: %v", inFile, err)
				}
			}
			if found := files(t, folder); len(found) > 0 {
				t.Errorf("in file %v: %s is left", inFile, found[0].Name())
			}
		}
	}
}

// TestSource: what is written is a copy of the caller's array.
func TestSource(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		a := &spill.Array{Elements: 4, InFile: inFile, TempDir: t.TempDir()}
		src := numbers(0, 4)
		write(t, a, 0, src)
		src[2] = 9
		expectRead(t, a, 0, numbers(0, 4))
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestScratch: a file is read into the scratch, the heap is viewed.
func TestScratch(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		a := &spill.Array{Elements: 4, InFile: inFile, TempDir: t.TempDir()}
		write(t, a, 0, numbers(0, 4))
		scratch := make([]float32, 2)
		got, err := a.Read(1, scratch)
		if err != nil || len(got) != 2 {
			t.Fatalf("in file %v: %v, error %v", inFile, got, err)
		}
		if (&got[0] == &scratch[0]) != inFile {
			t.Errorf("in file %v: read into the scratch: %v", inFile, !inFile)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestShortRead asks for more than was written.
func TestShortRead(t *testing.T) {
	a := &spill.Array{Elements: 4, InFile: true, TempDir: t.TempDir()}
	defer a.Close()
	if _, err := a.Read(0, make([]float32, 1)); err == nil {
		t.Error("read before anything was written")
	}
	write(t, a, 0, numbers(0, 4))
	for _, offset := range []int{1, 4, 1000} {
		if _, err := a.Read(offset, make([]float32, 4)); err == nil || !strings.HasPrefix(err.Error(), "temporary file for activations: ") {
			t.Errorf("4 elements at %d of 4: error %v", offset, err)
		}
	}
}

// TestNoFolder says what to do where no file can be made.
func TestNoFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "missing")
	a := &spill.Array{Elements: 4, InFile: true, TempDir: folder}
	err := a.Write(0, numbers(0, 4))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), "choose another folder") {
		t.Errorf("error %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closing what was never made: %v", err)
	}
	// On the heap the folder does not matter.
	a.InFile = false
	write(t, a, 0, numbers(0, 4))
}

// TestHeapBytes: what is in a file takes none.
func TestHeapBytes(t *testing.T) {
	a := &spill.Array{Elements: 1000}
	if a.HeapBytes() != 4000 {
		t.Errorf("%d bytes of 1000 elements", a.HeapBytes())
	}
	if a.InFile = true; a.HeapBytes() != 0 {
		t.Errorf("%d bytes on the heap of what is in a file", a.HeapBytes())
	}
	if err := a.Close(); err != nil { // never written
		t.Error(err)
	}
}
