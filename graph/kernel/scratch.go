package kernel

import (
	"slices"
	"sync"
)

// pool holds the buffers that Scratch hands out again.
type pool struct {
	mu     sync.Mutex
	free32 [][]float32
	free64 [][]float64
	freeI  [][]int32
}

// pooled is an element type of the buffers of a pool: offsets are int32.
type pooled interface{ Float | int32 }

// A pool keeps at most this many buffers of a type. A larger buffer serves a request only if
// it is not larger than that by more than this factor, lest small ones hold the large.
const (
	poolSize  = 64
	poolWaste = 8
)

// Scratch returns a buffer of n elements with undefined content, from the pool of the
// Context where one fits. The caller owns it until it calls Release. Scratch may be called
// from within Parallel.
func Scratch[T pooled](c *Context, n int) []T {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	list := freeList[T](c.pool)
	best := -1
	for i, b := range *list {
		if size := cap(b); size >= n && size/poolWaste <= n && (best < 0 || size < cap((*list)[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]T, n)
	}
	b := (*list)[best]
	*list = slices.Delete(*list, best, best+1)
	return b[:n]
}

// Release gives a buffer from Scratch back to the pool.
func Release[T pooled](c *Context, buf []T) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	list := freeList[T](c.pool)
	if len(*list) == poolSize {
		*list = slices.Delete(*list, 0, 1) // the one unused for longest
	}
	*list = append(*list, buf)
}

func freeList[T pooled](p *pool) *[][]T {
	for _, list := range []any{&p.free32, &p.free64} {
		if l, ok := list.(*[][]T); ok {
			return l
		}
	}
	return any(&p.freeI).(*[][]T)
}
