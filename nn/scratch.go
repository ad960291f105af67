package nn

import "fmt"

// Scratch is memory for one batch of activations, written before it is read. It
// grows as needed.
type Scratch struct {
	memory   Memory
	elements int
	slices   map[int]Memory // by length: each would be allocated anew
}

// Grow returns n elements of any value. What was there may be lost.
func (s *Scratch) Grow(d Device, n int) (Memory, error) {
	if s.elements < n {
		s.Free(d)
		memory, err := d.Alloc(n)
		if err != nil {
			return nil, fmt.Errorf("memory for activations: %w", err)
		}
		s.memory, s.elements, s.slices = memory, n, map[int]Memory{}
	}
	m, ok := s.slices[n]
	if !ok {
		m = d.Slice(s.memory, 0, n)
		s.slices[n] = m
	}
	return m, nil
}

// Free gives the memory back.
func (s *Scratch) Free(d Device) {
	d.Free(s.memory)
	*s = Scratch{}
}
