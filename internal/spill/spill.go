// Package spill holds arrays of activations that may be larger than memory: on
// the heap where there is room, in a temporary file where there is not.
package spill

import (
	"errors"
	"fmt"
	"os"
	"unsafe"
)

// ElementBytes is the size of an element.
const ElementBytes = 4

// An Array is a long array of float32, on the heap or, if InFile is set, in a
// temporary file. It is allocated at the first write.
//
// The file is unlinked as soon as it exists, so that no way of ending leaves it
// behind, and it is written and read by system calls rather than mapped,
// because a full disk is then an error and not a fault. The operating system's
// page cache makes both equally fast.
type Array struct {
	Elements int    // capacity on the heap; a file grows as needed
	InFile   bool   // it lies in a temporary file
	TempDir  string // the folder of that file; empty: the system's place

	heap   []float32
	file   *os.File
	linked bool // the file still has its name
}

// Write copies src to the array's elements from offset on.
func (a *Array) Write(offset int, src []float32) error {
	if !a.InFile {
		if a.heap == nil {
			a.heap = make([]float32, a.Elements)
		}
		copy(a.heap[offset:offset+len(src)], src)
		return nil
	}
	if a.file == nil {
		if err := a.create(); err != nil {
			return err
		}
	}
	if _, err := a.file.WriteAt(bytesOf(src), int64(offset)*ElementBytes); err != nil {
		return fmt.Errorf("temporary file for activations: %w; make room there, choose another folder or allow more memory", err)
	}
	return nil
}

// Read returns the array's elements from offset on, as many as scratch has: a
// view of the heap, or scratch itself filled from the file.
func (a *Array) Read(offset int, scratch []float32) ([]float32, error) {
	if !a.InFile {
		return a.heap[offset:][:len(scratch)], nil
	}
	if _, err := a.file.ReadAt(bytesOf(scratch), int64(offset)*ElementBytes); err != nil {
		return nil, fmt.Errorf("temporary file for activations: %w", err)
	}
	return scratch, nil
}

// create opens the temporary file.
func (a *Array) create() error {
	file, err := os.CreateTemp(a.TempDir, "modeldoctor-activations-*")
	if err != nil {
		return fmt.Errorf("temporary file for activations: %w; choose another folder or allow more memory", err)
	}
	// Some systems refuse to remove an open file: Close removes it there.
	a.file, a.linked = file, os.Remove(file.Name()) != nil
	return nil
}

// Close frees the array.
func (a *Array) Close() error {
	a.heap = nil
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	if a.linked {
		err = errors.Join(err, os.Remove(a.file.Name()))
	}
	a.file = nil
	return err
}

// HeapBytes is the number of bytes that the array takes on the heap.
func (a *Array) HeapBytes() int64 {
	if a.InFile {
		return 0
	}
	return int64(a.Elements) * ElementBytes
}

// bytesOf is the memory of s, in the machine's byte order: what it holds is
// read back by the same process only.
func bytesOf(s []float32) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*ElementBytes)
}
