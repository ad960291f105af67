// Package spill keeps activations that do not fit in memory in a temporary file.
package spill

import (
	"errors"
	"fmt"
	"os"
	"unsafe"
)

// ElementBytes is the size of an element.
const ElementBytes = 4

// A File is a long array of float32 in a temporary file, which is made at the
// first write.
//
// The file is unlinked as soon as it exists, so that no way of ending leaves it
// behind, and it is written and read by system calls rather than mapped,
// because a full disk is then an error and not a fault. The operating system's
// page cache makes both equally fast.
type File struct {
	TempDir string // the folder that it lies in; empty: the system's place

	file   *os.File
	linked bool // the file still has its name
}

// Write copies src to the array's elements from offset on.
func (f *File) Write(offset int, src []float32) error {
	if f.file == nil {
		if err := f.create(); err != nil {
			return err
		}
	}
	if _, err := f.file.WriteAt(bytesOf(src), int64(offset)*ElementBytes); err != nil {
		return fmt.Errorf("temporary file for activations: %w; make room there, choose another folder or allow more memory", err)
	}
	return nil
}

// Read fills dst with the array's elements from offset on.
func (f *File) Read(offset int, dst []float32) error {
	if _, err := f.file.ReadAt(bytesOf(dst), int64(offset)*ElementBytes); err != nil {
		return fmt.Errorf("temporary file for activations: %w", err)
	}
	return nil
}

// create opens the temporary file.
func (f *File) create() error {
	file, err := os.CreateTemp(f.TempDir, "modeldoctor-activations-*")
	if err != nil {
		return fmt.Errorf("temporary file for activations: %w; choose another folder or allow more memory", err)
	}
	// Some systems refuse to remove an open file: Close removes it there.
	f.file, f.linked = file, os.Remove(file.Name()) != nil
	return nil
}

// Close frees the file.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	if f.linked {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	f.file = nil
	return err
}

// bytesOf is the memory of s, in the machine's byte order: what it holds is
// read back by the same process only.
func bytesOf(s []float32) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*ElementBytes)
}
