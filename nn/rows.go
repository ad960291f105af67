package nn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/internal/spill"
)

// This file is where the rows of activations come from and go to.

// scratch is memory of a device that is written before it is read.
type scratch struct {
	memory   Memory
	elements int
}

// grow returns n elements of any value.
func (s *scratch) grow(m Model, n int) (Memory, error) {
	d := m.Device()
	if s.elements < n {
		d.Free(s.memory)
		s.memory, s.elements = nil, 0
		memory, err := d.Alloc(n)
		if err != nil {
			return nil, fmt.Errorf("memory for activations: %w", err)
		}
		s.memory, s.elements = memory, n
	}
	return d.Slice(s.memory, 0, n), nil
}

// holds reports whether activations at a neck are held.
func (a *Activations) holds(neck int) bool { return slices.Contains(a.holding.Necks, neck) }

// span is the positions lo to hi. It is valid until the next call.
func (a *Activations) span(lo, hi int) []int {
	a.rows = a.rows[:0]
	for p := lo; p < hi; p++ {
		a.rows = append(a.rows, p)
	}
	return a.rows
}

// batch returns the activations at positions lo to hi, at most a batch of them, in
// place if they are held in memory. They are valid until the next call of a
// method.
func (a *Activations) batch(ctx context.Context, lo, hi int) (Memory, error) {
	size := a.model.NeckElements(a.neck)
	if a.held && a.file == nil {
		return a.model.Device().Slice(a.memory, lo*size, hi*size), nil
	}
	in, err := a.in.grow(a.model, (hi-lo)*size)
	if err != nil {
		return nil, err
	}
	return in, a.fetch(ctx, a.span(lo, hi), in)
}

// fetch writes the activations at the given positions, at most a batch of them, to
// dst.
func (a *Activations) fetch(ctx context.Context, rows []int, dst Memory) error {
	size := a.model.NeckElements(a.neck)
	switch {
	case a.held && a.file == nil:
		return a.model.Device().Gather(dst, a.memory, rows, size)
	case a.held:
		return a.onHost(dst, len(rows)*size, func(host []float32) error { return readRows(a.file, rows, size, host) })
	}
	start := time.Now()
	defer func() { a.recomputed += time.Since(start) }()
	if a.neck == 0 {
		return a.read(ctx, rows, dst)
	}
	images, err := a.images.grow(a.model, len(rows)*a.model.NeckElements(0))
	if err != nil {
		return err
	}
	if err := a.read(ctx, rows, images); err != nil {
		return err
	}
	return a.model.Advance(ctx, 0, a.neck, images, dst, len(rows))
}

// read writes the images at the given positions to dst.
func (a *Activations) read(ctx context.Context, rows []int, dst Memory) error {
	size := a.model.NeckElements(0)
	return a.onHost(dst, len(rows)*size, func(host []float32) error {
		for j, p := range rows {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := a.examples.Read(a.order[p], host[j*size:][:size]); err != nil {
				return fmt.Errorf("%s %d: %w", a.holding.Name, a.order[p], err)
			}
		}
		return nil
	})
}

// onHost lets write fill n elements of dst, in place where the host can.
func (a *Activations) onHost(dst Memory, n int, write func(host []float32) error) error {
	d := a.model.Device()
	if host := d.InPlace(dst); host != nil {
		return write(host[:n])
	}
	a.host = slices.Grow(a.host[:0], n)[:n]
	if err := write(a.host); err != nil {
		return err
	}
	return d.Upload(dst, a.host)
}

// readRows reads rows of a file, those that follow on each other at once.
func readRows(f *spill.File, rows []int, size int, dst []float32) error {
	for lo := 0; lo < len(rows); {
		hi := lo + 1
		for hi < len(rows) && rows[hi] == rows[hi-1]+1 {
			hi++
		}
		if err := f.Read(rows[lo]*size, dst[lo*size:hi*size]); err != nil {
			return err
		}
		lo = hi
	}
	return nil
}

// destination is where n elements are to be computed that will lie at an offset:
// there, or on their way to the file.
func (a *Activations) destination(offset, n int) (Memory, error) {
	if a.file != nil {
		return a.out.grow(a.model, n)
	}
	if a.memory == nil {
		memory, err := a.model.Device().Alloc(a.capacity)
		if err != nil {
			return nil, fmt.Errorf("memory for activations: %w", err)
		}
		a.memory = memory
	}
	return a.model.Device().Slice(a.memory, offset, offset+n), nil
}

// keep puts n computed elements where they lie, if they are not there already.
func (a *Activations) keep(offset int, computed Memory, n int) error {
	if a.file == nil {
		return nil
	}
	d := a.model.Device()
	host := d.InPlace(computed)
	if host == nil {
		a.host = slices.Grow(a.host[:0], n)[:n]
		if err := d.Download(a.host, computed); err != nil {
			return err
		}
		host = a.host
	}
	return a.file.Write(offset, host[:n])
}
