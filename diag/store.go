package diag

import (
	"errors"
	"fmt"
	"os"
	"unsafe"
)

const float32Bytes = 4

// A store is a long array of float32, on the heap or, if it spills, in a
// temporary file. It is allocated at the first write.
//
// The file is unlinked as soon as it exists, so that no way of ending leaves it
// behind, and it is written and read by system calls rather than mapped,
// because a full disk is then an error and not a fault. The operating system's
// page cache makes both equally fast.
type store struct {
	elements int // capacity on the heap
	spills   bool
	tempDir  string

	heap   []float32
	file   *os.File
	linked bool // the file still has its name
}

// write copies src to the array's elements from offset on.
func (s *store) write(offset int, src []float32) error {
	if !s.spills {
		if s.heap == nil {
			s.heap = make([]float32, s.elements)
		}
		copy(s.heap[offset:offset+len(src)], src)
		return nil
	}
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	if _, err := s.file.WriteAt(bytesOf(src), int64(offset)*float32Bytes); err != nil {
		return fmt.Errorf("temporary file for activations: %w; make room there, choose another folder or allow more memory", err)
	}
	return nil
}

// read returns the array's elements from offset on, as many as scratch has: a
// view of the heap, or scratch itself filled from the file.
func (s *store) read(offset int, scratch []float32) ([]float32, error) {
	if !s.spills {
		return s.heap[offset:][:len(scratch)], nil
	}
	if _, err := s.file.ReadAt(bytesOf(scratch), int64(offset)*float32Bytes); err != nil {
		return nil, fmt.Errorf("temporary file for activations: %w", err)
	}
	return scratch, nil
}

// create opens the temporary file.
func (s *store) create() error {
	file, err := os.CreateTemp(s.tempDir, "modeldoctor-activations-*")
	if err != nil {
		return fmt.Errorf("temporary file for activations: %w; choose another folder or allow more memory", err)
	}
	// Some systems refuse to remove an open file: close removes it there.
	s.file, s.linked = file, os.Remove(file.Name()) != nil
	return nil
}

// close frees the array.
func (s *store) close() error {
	s.heap = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.linked {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	s.file = nil
	return err
}

// bytesOf is the memory of s, in the machine's byte order: what it holds is
// read back by the same process only.
func bytesOf(s []float32) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*float32Bytes)
}
