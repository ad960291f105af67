//go:build gpu && linux && cgo

package gpu

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// patches serves PatchEmbedding and its gradients.
func patches(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	switch o := s.op.(type) {
	case op.PatchEmbedding:
		return embedPatches(s, o)
	case op.PatchGradient:
		if o.Filters {
			return patchFilterGrad(s, o)
		}
		return patchInputGrad(s, o)
	}
	return nil
}

// grid is how images are cut into patches: a nest of loops over them, patch by
// patch, and its strides in the images.
type grid struct {
	shape, strides []int
	positions      int // patches of all images
	size           int // elements of a patch
}

func newGrid(images, kernel []int) grid {
	whole, rank := shapes.RowMajor(images), len(kernel)
	g := grid{shape: []int{images[0]}, strides: whole[:1:1]}
	for i, k := range kernel {
		g.shape = append(g.shape, images[2+i]/k)
		g.strides = append(g.strides, k*whole[2+i])
	}
	g.positions = shapes.Elements(g.shape)
	g.shape = slices.Concat(g.shape, images[1:2], kernel)
	g.strides = append(g.strides, whole[1:]...)
	g.size = shapes.Elements(g.shape[1+rank:])
	return g
}

// rows is the matrix of patches in scratch memory, and what it takes of that.
func (g grid) rows(bfloat16 bool) (rows kernels.Array, bytes int64) {
	rows.BFloat16 = bfloat16
	return rows, aligned(rows.Bytes(g.positions * g.size))
}

// gather copies the patches of images into the rows of a matrix.
func (g grid) gather(q kernels.Queue, images, rows kernels.Array) error {
	return move(q, g.shape, kernels.Contiguous(rows, g.shape), kernels.Placement{Array: images, Strides: g.strides})
}

// scatter copies them back.
func (g grid) scatter(q kernels.Queue, rows, images kernels.Array) error {
	return move(q, g.shape, kernels.Placement{Array: images, Strides: g.strides}, kernels.Contiguous(rows, g.shape))
}

func embedPatches(s site, o op.PatchEmbedding) *launch {
	if s.isBFloat16(2) { // a bias is float32
		return nil
	}
	g, filters := newGrid(s.in[0].Shape, o.Kernel), s.in[1].Shape[0]
	rows, bytes := g.rows(s.precision == driver.BF16)
	p := multiplication{s.precision, 1, g.positions, filters, g.size, 1,
		rowsOf(g.size, false, rows.BFloat16), rowsOf(g.size, true, s.isBFloat16(1)), rowsOf(filters, false, s.outBFloat16)}
	return &launch{bytes + p.addWork(), func(c call) error {
		rows.Data = c.work
		if err := g.gather(c.Queue, c.in[0], rows); err != nil {
			return err
		}
		return p.add(c.Queue, c.work, c.in[1].Data, c.optional(2), kernels.Array{}, c.out, c.work+driver.Ptr(bytes))
	}}
}

func patchInputGrad(s site, o op.PatchGradient) *launch {
	g, filters := newGrid(o.Shape, o.Kernel), s.in[0].Shape[0]
	rows, bytes := g.rows(s.outBFloat16)
	p := multiplication{s.precision, 1, g.positions, g.size, filters, 1,
		rowsOf(filters, false, s.isBFloat16(1)), rowsOf(g.size, false, s.isBFloat16(0)), rowsOf(g.size, false, rows.BFloat16)}
	elements := shapes.Elements(o.Shape)
	return &launch{bytes + p.work(), func(c call) error {
		rows.Data = c.work
		if g.positions*g.size < elements { // patches need not cover the images
			if err := c.Clear(c.out.Data, c.out.Bytes(elements)); err != nil {
				return err
			}
		}
		if err := p.run(c.Queue, c.in[1].Data, c.in[0].Data, c.work, c.work+driver.Ptr(bytes)); err != nil {
			return err
		}
		return g.scatter(c.Queue, rows, c.out)
	}}
}

func patchFilterGrad(s site, o op.PatchGradient) *launch {
	g, filters := newGrid(s.in[0].Shape, o.Kernel), o.Shape[0]
	rows, bytes := g.rows(s.precision == driver.BF16)
	p := multiplication{s.precision, 1, filters, g.size, g.positions, 1,
		rowsOf(filters, true, s.isBFloat16(1)), rowsOf(g.size, false, rows.BFloat16), rowsOf(g.size, false, s.outBFloat16)}
	return &launch{bytes + p.work(), func(c call) error {
		rows.Data = c.work
		if err := g.gather(c.Queue, c.in[0], rows); err != nil {
			return err
		}
		return p.run(c.Queue, c.in[1].Data, c.work, c.out.Data, c.work+driver.Ptr(bytes))
	}}
}
