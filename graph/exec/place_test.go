package exec

import (
	"math/rand/v2"
	"testing"
)

// FuzzPlace: for any buffers, no two that are alive at once share a byte, and the
// arena ends where the last one does.
func FuzzPlace(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint16(seed*8))
	}
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		r := rand.New(rand.NewPCG(seed, 1))
		buffers := make([]buffer, n%512)
		steps := 1 + r.IntN(100)
		for i := range buffers {
			first := r.IntN(steps)
			buffers[i] = buffer{size: align(r.Int64N(1000)), first: int32(first), last: int32(first + r.IntN(steps-first))}
		}
		size, end := assignOffsets(buffers), int64(0)
		for i := range buffers {
			b := &buffers[i]
			end = max(end, b.offset+b.size)
			if b.offset < 0 || b.offset%alignment != 0 {
				t.Fatalf("%+v is not aligned", b)
			}
			for j := range buffers[:i] {
				if c := &buffers[j]; b.overlaps(c) && b.offset < c.offset+c.size && c.offset < b.offset+b.size {
					t.Fatalf("%+v and %+v share bytes", b, c)
				}
			}
		}
		live := int64(0)
		for s := range int32(steps) {
			sum := int64(0)
			for _, b := range buffers {
				if b.first <= s && s <= b.last {
					sum += b.size
				}
			}
			live = max(live, sum)
		}
		if got := liveBytes(buffers, steps); got != live || size < live || size != end {
			t.Fatalf("arena %d, its end %d; live %d, want %d", size, end, got, live)
		}
	})
}
