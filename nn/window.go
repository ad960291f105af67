package nn

import (
	"context"
	"fmt"
	"slices"
)

// A Window holds some of the examples of activations that are computed at each use,
// those that are wanted at the time, in the device's memory. [Activations.Gather]
// takes them from there.
type Window struct {
	of    *Activations
	store store
	row   map[int]int // in the store, by the position of the example
	holds []int       // the position of the example in each row; −1: none
}

// NewWindow returns room for n examples, or all if there are fewer. The activations are
// not advanced, and no weight below their neck changes, for as long as it is in use.
func NewWindow(of *Activations, n int) *Window {
	n = min(n, of.Len())
	w := &Window{of: of, row: map[int]int{}, holds: slices.Repeat([]int{-1}, n)}
	w.store = store{device: of.model.Device(), elements: n * w.size()}
	of.window = w
	return w
}

// size is the number of elements of a row.
func (w *Window) size() int { return w.of.model.NeckElements(w.of.neck) }

// Keep holds the examples at the given positions, which fit in, until the next call,
// and computes those of them that are not held yet. then are the positions of that
// call, where they are known: if their images have to be read, that begins at once.
func (w *Window) Keep(ctx context.Context, positions, then []int) error {
	missing, rows := w.missing(positions), w.clear(positions)
	if len(missing) > len(rows) {
		panic(fmt.Sprintf("nn: a window of %d examples is to hold %d more", len(w.holds), len(missing)-len(rows)))
	}
	m, size := w.of.model, w.size()
	for len(missing) > 0 {
		some, rest := first(missing, m.Batch())
		next := rest
		if len(next) == 0 {
			next = slices.DeleteFunc(w.missing(then), func(p int) bool { return slices.Contains(some, p) })
		}
		next, _ = first(next, m.Batch())
		computed, err := w.of.in.Grow(m.Device(), len(some)*size)
		if err != nil {
			return err
		}
		if err := w.of.fetch(ctx, some, next, computed); err != nil {
			return err
		}
		if err := w.put(some, rows[:len(some)], computed); err != nil {
			return err
		}
		missing, rows = rest, rows[len(some):]
	}
	return nil
}

// missing are the positions of examples that are not held, each once.
func (w *Window) missing(positions []int) []int {
	var all []int
	seen := make(map[int]bool, len(positions))
	for _, p := range positions {
		if _, held := w.row[p]; !held && !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

// clear empties the rows of all but the wanted positions, and returns those that are
// empty, in ascending order.
func (w *Window) clear(wanted []int) []int {
	keep := make(map[int]bool, len(wanted))
	for _, p := range wanted {
		keep[p] = true
	}
	var rows []int
	for r, p := range w.holds {
		if !keep[p] {
			delete(w.row, p)
			w.holds[r] = -1
			rows = append(rows, r)
		}
	}
	return rows
}

// put copies computed examples to rows, those that follow on each other at once.
func (w *Window) put(positions, rows []int, computed Memory) error {
	d, size := w.store.device, w.size()
	for lo := 0; lo < len(rows); {
		hi := lo + 1
		for hi < len(rows) && rows[hi] == rows[hi-1]+1 {
			hi++
		}
		dst, err := w.store.room(rows[lo]*size, (hi-lo)*size)
		if err != nil {
			return err
		}
		if err := d.Copy(dst, d.Slice(computed, lo*size, hi*size)); err != nil {
			return err
		}
		lo = hi
	}
	for i, p := range positions {
		w.row[p], w.holds[rows[i]] = rows[i], p
	}
	return nil
}

// read writes the examples at the given positions to dst. It reports false, and does
// nothing, if one of them is not held.
func (w *Window) read(positions []int, dst Memory) (held bool, err error) {
	if w == nil {
		return false, nil
	}
	rows := make([]int, len(positions))
	for i, p := range positions {
		if rows[i], held = w.row[p]; !held {
			return false, nil
		}
	}
	return true, w.store.read(rows, w.size(), dst)
}

// Close gives the memory back.
func (w *Window) Close() error {
	w.of.window = nil
	return w.store.close()
}
