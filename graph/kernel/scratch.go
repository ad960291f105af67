package kernel

import (
	"slices"
	"sync"
)

// pool holds what kernels need for a moment, for the next that needs the like.
type pool struct {
	mu    sync.Mutex
	lists []any // a *[][]T for each type of buffers, a *[]*T for each of objects
}

// listOf returns the pool's list of free elements of a type. The pool is locked.
func listOf[E any](p *pool) *[]E {
	for _, l := range p.lists {
		if l, ok := l.(*[]E); ok {
			return l
		}
	}
	l := new([]E)
	p.lists = append(p.lists, l)
	return l
}

// A pool keeps at most this many buffers of a type. A larger buffer serves a request only if
// it is not larger than that by more than this factor, lest small ones hold the large.
const (
	poolSize  = 64
	poolWaste = 8
)

// Scratch returns a buffer of n elements with undefined content, from the pool of the
// Context where one fits. The caller owns it until it calls Release. Scratch may be called
// from within Run and Parallel.
func Scratch[T any](c *Context, n int) []T {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	list := listOf[[]T](c.pool)
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
func Release[T any](c *Context, buf []T) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	list := listOf[[]T](c.pool)
	if len(*list) == poolSize {
		*list = slices.Delete(*list, 0, 1) // the one unused for longest
	}
	*list = append(*list, buf)
}

// borrow returns a copy of x in memory that the pool keeps, until giveBack.
func borrow[T any](c *Context, x T) *T {
	c.pool.mu.Lock()
	list := listOf[*T](c.pool)
	var p *T
	if last := len(*list) - 1; last >= 0 {
		p, *list = (*list)[last], (*list)[:last]
	}
	c.pool.mu.Unlock()
	if p == nil {
		p = new(T)
	}
	*p = x
	return p
}

func giveBack[T any](c *Context, p *T) {
	var none T
	*p = none // what it refers to may go
	c.pool.mu.Lock()
	list := listOf[*T](c.pool)
	*list = append(*list, p)
	c.pool.mu.Unlock()
}
