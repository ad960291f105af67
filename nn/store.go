package nn

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/internal/spill"
)

// Place is where activations lie. What comes later takes longer to read.
type Place int

const (
	Nowhere  Place = iota // computed at each use
	OnDevice              // in the memory of the device that computes, be it the host
	OnHost                // in the host's memory, beside a device that has its own
	InFile                // in a temporary file
)

// store is where activations are held: rows of one size after another, in a
// device's memory or outside of it.
type store struct {
	device   Device
	elements int       // that it has room for
	memory   Memory    // nil until it is needed
	parts    parts     // of the memory
	outside  outside   // in place of memory; nil: none
	out      Scratch   // on its way outside
	host     []float32 // on its way to or from a device
}

// outside is a long array of float32 that no device reads in place. Nothing is
// allocated before the first write.
type outside interface {
	Write(offset int, src []float32) error
	Read(offset int, dst []float32) error
	Close() error
}

// hostArray is in the host's memory.
type hostArray struct {
	elements int
	values   []float32
}

func (a *hostArray) Write(offset int, src []float32) error {
	if a.values == nil {
		a.values = make([]float32, a.elements)
	}
	copy(a.values[offset:][:len(src)], src)
	return nil
}

func (a *hostArray) Read(offset int, dst []float32) error {
	copy(dst, a.values[offset:][:len(dst)])
	return nil
}

func (a *hostArray) Close() error {
	a.values = nil
	return nil
}

// place is where what is held lies.
func (s *store) place() Place {
	if s.elements == 0 {
		return Nowhere
	}
	switch s.outside.(type) {
	case *spill.File:
		return InFile
	case *hostArray:
		return OnHost
	}
	return OnDevice
}

// grow makes room for n elements in memory. What was held may be lost.
func (s *store) grow(n int) {
	if s.elements < n {
		s.device.Free(s.memory)
		s.memory, s.parts, s.elements = nil, nil, n
	}
}

// room is where n elements are to be computed that will lie at an offset: there, or
// on their way outside.
func (s *store) room(offset, n int) (Memory, error) {
	if s.outside != nil {
		return s.out.Grow(s.device, n)
	}
	if s.memory == nil {
		memory, err := s.device.Alloc(s.elements)
		if err != nil {
			return nil, fmt.Errorf("memory for activations: %w", err)
		}
		s.memory = memory
	}
	return s.slice(offset, offset+n), nil
}

// slice is the elements lo to hi of the memory.
func (s *store) slice(lo, hi int) Memory { return s.parts.slice(s.device, s.memory, lo, hi) }

// keep puts n computed elements where they lie, if they are not there already.
func (s *store) keep(offset int, computed Memory, n int) error {
	if s.outside == nil {
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
	return s.outside.Write(offset, host[:n])
}

// read writes rows of the given numbers to dst.
func (s *store) read(rows []int, size int, dst Memory) error {
	if s.outside == nil {
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
		if err := s.outside.Read(rows[lo]*size, host[lo*size:hi*size]); err != nil {
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
	s.memory, s.parts, s.host = nil, nil, nil
	if s.outside == nil {
		return nil
	}
	return s.outside.Close()
}
