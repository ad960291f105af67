package nn

import (
	"context"
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
	return s.fill(dst, len(rows)*size, func(host []float32) error {
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
		return nil
	})
}

// fill lets write give n elements of dst, in place where the host can.
func (s *store) fill(dst Memory, n int, write func(host []float32) error) error {
	if host := s.device.InPlace(dst); host != nil {
		return write(host[:n])
	}
	s.host = slices.Grow(s.host[:0], n)[:n]
	if err := write(s.host); err != nil {
		return err
	}
	return s.device.Upload(dst, s.host)
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

// images are those of examples in a given order.
type images struct {
	examples Examples
	order    []int  // example at each position
	name     string // of an example, for errors
}

// read writes the images at the given positions, of size elements each, to dst,
// which is of s's device.
func (v *images) read(ctx context.Context, s *store, rows []int, size int, dst Memory) error {
	return s.fill(dst, len(rows)*size, func(host []float32) error {
		for j, p := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := v.examples.Read(v.order[p], host[j*size:][:size]); err != nil {
				return fmt.Errorf("%s %d: %w", v.name, v.order[p], err)
			}
		}
		return nil
	})
}
