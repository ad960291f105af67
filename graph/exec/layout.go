package exec

import (
	"cmp"
	"slices"
)

// alignment of every buffer of an arena, in bytes: a cache line, and the widest
// vector register. Sizes are rounded up to it.
const alignment = 64

func align(bytes int64) int64 { return (bytes + alignment - 1) &^ (alignment - 1) }

// buffer is a place in the arena, alive from step first to step last, both
// included. Sizes and offsets are bytes, multiples of alignment.
type buffer struct {
	size, offset int64
	first, last  int32
}

// overlaps reports whether both are alive at some step.
func (b *buffer) overlaps(c *buffer) bool { return b.first <= c.last && c.first <= b.last }

// assignOffsets places buffers so that no two that are alive at the same
// step share a byte, and returns the size of the arena: the end of the last.
//
// Buffers are placed by decreasing size, each at the lowest offset that is free
// during its whole life: the "greedy by size" of Pisarchyk and Lee, Efficient
// Memory Management for Deep Neural Net Inference, https://arxiv.org/abs/2001.03288.
// The layout is not always the smallest, but on the graphs of networks it reaches
// the bound of liveBytes.
func assignOffsets(buffers []buffer) (size int64) {
	order := make([]int, len(buffers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(buffers[j].size, buffers[i].size) })
	placed := make([]buffer, 0, len(buffers)) // by offset; copies, to be read in sequence
	for _, i := range order {
		b := &buffers[i]
		offset := int64(0)
		for j := range placed {
			p := &placed[j]
			if !b.overlaps(p) {
				continue
			}
			if offset+b.size <= p.offset {
				break
			}
			offset = max(offset, p.offset+p.size)
		}
		b.offset = offset
		at, _ := slices.BinarySearchFunc(placed, offset, func(p buffer, offset int64) int { return cmp.Compare(p.offset, offset) })
		placed = slices.Insert(placed, at, *b)
		size = max(size, offset+b.size)
	}
	return size
}

// liveBytes returns the largest sum of the sizes of the buffers alive at one
// step: no arena can be smaller.
func liveBytes(buffers []buffer, steps int) int64 {
	change := make([]int64, steps+1)
	for _, b := range buffers {
		change[b.first] += b.size
		change[b.last+1] -= b.size
	}
	live, most := int64(0), int64(0)
	for _, c := range change {
		live += c
		most = max(most, live)
	}
	return most
}
