package nn

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/internal/spill"
)

// store is where activations are held: rows of one size after another, in a
// device's memory or in a file.
type store struct {
	device   Device
	elements int         // that it has room for
	memory   Memory      // nil until it is needed
	file     *spill.File // in place of memory; nil: none
	out      Scratch     // on its way to the file
	host     []float32   // on its way to or from a device
}

// grow makes room for n elements in memory. What was held may be lost.
func (s *store) grow(n int) {
	if s.elements < n {
		s.device.Free(s.memory)
		s.memory, s.elements = nil, n
	}
}

// room is where n elements are to be computed that will lie at an offset: there, or
// on their way to the file.
func (s *store) room(offset, n int) (Memory, error) {
	if s.file != nil {
		return s.out.Grow(s.device, n)
	}
	if s.memory == nil {
		memory, err := s.device.Alloc(s.elements)
		if err != nil {
			return nil, fmt.Errorf("memory for activations: %w", err)
		}
		s.memory = memory
	}
	return s.device.Slice(s.memory, offset, offset+n), nil
}

// keep puts n computed elements where they lie, if they are not there already.
func (s *store) keep(offset int, computed Memory, n int) error {
	if s.file == nil {
		return nil
	}
	host := s.device.InPlace(computed)
	if host == nil {
		s.host = slices.Grow(s.host[:0], n)[:n]
		if err := s.device.Download(s.host, computed); err != nil {
			return err
		}
		host = s.host
	}
	return s.file.Write(offset, host[:n])
}

// read writes rows of the given numbers to dst.
func (s *store) read(rows []int, size int, dst Memory) error {
	if s.file == nil {
		return s.device.Gather(dst, s.memory, rows, size)
	}
	host := s.device.InPlace(dst)
	inPlace := host != nil
	if !inPlace {
		s.host = slices.Grow(s.host[:0], len(rows)*size)[:len(rows)*size]
		host = s.host
	}
	for lo := 0; lo < len(rows); {
		hi := lo + 1 // rows that follow on each other are read at once
		for hi < len(rows) && rows[hi] == rows[hi-1]+1 {
			hi++
		}
		if err := s.file.Read(rows[lo]*size, host[lo*size:hi*size]); err != nil {
			return err
		}
		lo = hi
	}
	if inPlace {
		return nil
	}
	return s.device.Upload(dst, host)
}

// close frees all that is held.
func (s *store) close() error {
	s.device.Free(s.memory)
	s.out.Free(s.device)
	s.memory, s.host = nil, nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
