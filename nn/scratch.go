package nn

import "fmt"

// Scratch is memory for one batch of activations, written before it is read. It
// grows as needed.
type Scratch struct {
	memory   Memory
	elements int
}

// Grow returns n elements of any value. What was there may be lost.
func (s *Scratch) Grow(d Device, n int) (Memory, error) {
	if s.elements < n {
		s.Free(d)
		memory, err := d.Alloc(n)
		if err != nil {
			return nil, fmt.Errorf("memory for activations: %w", err)
		}
		s.memory, s.elements = memory, n
	}
	return d.Slice(s.memory, 0, n), nil
}

// Free gives the memory back.
func (s *Scratch) Free(d Device) {
	d.Free(s.memory)
	*s = Scratch{}
}
