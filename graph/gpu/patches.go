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

func (g grid) bytes() int64 { return aligned(int64(floatBytes * g.positions * g.size)) }

// gather copies the patches of images into the rows of a matrix.
func (g grid) gather(q kernels.Queue, images, rows driver.Ptr) error {
	return move(q, g.shape, kernels.Contiguous(rows, g.shape), kernels.Placement{Data: images, Strides: g.strides})
}

// scatter copies them back.
func (g grid) scatter(q kernels.Queue, rows, images driver.Ptr) error {
	return move(q, g.shape, kernels.Placement{Data: images, Strides: g.strides}, kernels.Contiguous(rows, g.shape))
}

func embedPatches(s site, o op.PatchEmbedding) *launch {
	g, filters := newGrid(s.in[0].Shape, o.Kernel), s.in[1].Shape[0]
	p := multiplication{s.precision, 1, g.positions, filters, g.size, 1,
		rowsOf(g.size, false), rowsOf(g.size, true), driver.Matrix{Lead: filters}}
	return &launch{g.bytes() + p.work(), func(c call) error {
		if err := g.gather(c.Queue, c.in[0], c.work); err != nil {
			return err
		}
		return p.add(c.Queue, c.work, c.in[1], c.optional(2), 0, c.out, c.work+driver.Ptr(g.bytes()))
	}}
}

func patchInputGrad(s site, o op.PatchGradient) *launch {
	g, filters := newGrid(o.Shape, o.Kernel), s.in[0].Shape[0]
	p := multiplication{s.precision, 1, g.positions, g.size, filters, 1,
		rowsOf(filters, false), rowsOf(g.size, false), driver.Matrix{Lead: g.size}}
	elements := shapes.Elements(o.Shape)
	return &launch{g.bytes() + p.work(), func(c call) error {
		if g.positions*g.size < elements { // patches need not cover the images
			if err := c.Clear(c.out, int64(floatBytes*elements)); err != nil {
				return err
			}
		}
		if err := p.run(c.Queue, c.in[1], c.in[0], c.work, c.work+driver.Ptr(g.bytes())); err != nil {
			return err
		}
		return g.scatter(c.Queue, c.work, c.out)
	}}
}

func patchFilterGrad(s site, o op.PatchGradient) *launch {
	g, filters := newGrid(s.in[0].Shape, o.Kernel), o.Shape[0]
	p := multiplication{s.precision, 1, filters, g.size, g.positions, 1,
		rowsOf(filters, true), rowsOf(g.size, false), driver.Matrix{Lead: g.size}}
	return &launch{g.bytes() + p.work(), func(c call) error {
		if err := g.gather(c.Queue, c.in[0], c.work); err != nil {
			return err
		}
		return p.run(c.Queue, c.in[1], c.work, c.out, c.work+driver.Ptr(g.bytes()))
	}}
}
