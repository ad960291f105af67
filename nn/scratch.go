package nn

import "fmt"

// Scratch is memory for one batch of activations, written before it is read. It
// grows as needed.
type Scratch struct {
	memory   Memory
	elements int
	parts    parts
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
	return s.slice(d, 0, n), nil
}

// slice is the elements lo to hi.
func (s *Scratch) slice(d Device, lo, hi int) Memory { return s.parts.slice(d, s.memory, lo, hi) }

// Free gives the memory back.
func (s *Scratch) Free(d Device) {
	d.Free(s.memory)
	*s = Scratch{}
}

// parts are slices of one memory, by their ends. Steps ask for the same ones again and
// again, and a device allocates what says where each lies.
type parts map[[2]int]Memory

// mostParts bounds how many are kept. Steps have fewer; a pass through all examples does
// not gain by more.
const mostParts = 64

// slice is the elements lo to hi of m, which must be the same at each call.
func (p *parts) slice(d Device, m Memory, lo, hi int) Memory {
	if s, ok := (*p)[[2]int{lo, hi}]; ok {
		return s
	}
	if *p == nil {
		*p = parts{}
	}
	if len(*p) == mostParts {
		clear(*p)
	}
	s := d.Slice(m, lo, hi)
	(*p)[[2]int{lo, hi}] = s
	return s
}
