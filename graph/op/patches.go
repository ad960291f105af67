package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// PatchEmbedding is a Conv over patches ([Conv.Patches]) of images [N, C, H, W]
// whose result is laid out as tokens, [N, patches, M]: a product of the matrix
// of patches with the filters' transpose.
type PatchEmbedding struct {
	Kernel []int // height and width of a patch, in pixels
}

func (PatchEmbedding) Name() string { return "PatchEmbedding" }

// conv is the convolution before it is laid out as tokens.
func (o PatchEmbedding) conv() Conv {
	rank := len(o.Kernel)
	return Conv{Kernel: o.Kernel, Strides: o.Kernel, Dilations: undilated[:rank], Pads: unpadded[:2*rank], Group: 1}
}

// Of up to spatialDims dimensions.
var undilated, unpadded = shapes.Ones(spatialDims), make([]int, 2*spatialDims)

// Infer checks filters and bias.
func (o PatchEmbedding) Infer(in []Type) (Type, error) {
	n, err := o.conv().convolution(in)
	if err != nil {
		return Type{}, err
	}
	return in[0].With(n.images, volume(n.out), n.filters), nil
}

func (o PatchEmbedding) Forward(c *kernel.Context, out Array, in []Array) {
	n := o.conv().sizes(in)
	if _, ok := out.Data.([]float32); ok {
		embedPatches[float32](c, n, out, in)
	} else {
		embedPatches[float64](c, n, out, in)
	}
}

// Gradient is a product each for x and W and a sum for the bias.
func (o PatchEmbedding) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(in))
	if need[0] {
		grads[0] = g.Do(PatchGradient{Kernel: o.Kernel, Shape: g.TypeOf(in[0]).Shape}, in[1], dout)
	}
	if need[1] {
		grads[1] = g.Do(PatchGradient{Kernel: o.Kernel, Filters: true, Shape: g.TypeOf(in[1]).Shape}, in[0], dout)
	}
	if len(in) == 3 && need[2] {
		grads[2] = g.sumTo(dout, in[2])
	}
	return grads
}

// PatchGradient is the cotangent of the input of a PatchEmbedding, from the
// filters and the result's cotangent; with Filters, the cotangent of the
// filters, from the input and the result's cotangent.
type PatchGradient struct {
	Kernel  []int
	Filters bool
	Shape   []int // of what it is the cotangent of
}

func (PatchGradient) Name() string { return "PatchEmbeddingGradient" }

// conv is the same gradient of the convolution.
func (o PatchGradient) conv() ConvGradient {
	return ConvGradient{Conv: PatchEmbedding{o.Kernel}.conv(), Filters: o.Filters, Shape: o.Shape}
}

func (o PatchGradient) Infer(in []Type) (Type, error) {
	n, err := o.conv().convolution(in)
	if err != nil {
		return Type{}, err
	}
	if want := in[0].With(n.images, volume(n.out), n.filters); !in[1].Equal(want) {
		return Type{}, fmt.Errorf("expected a cotangent %v, found %v", want, in[1])
	}
	return in[0].With(o.Shape...), nil
}

func (o PatchGradient) Forward(c *kernel.Context, out Array, in []Array) {
	n := o.conv().sizes(in)
	if _, ok := out.Data.([]float32); ok {
		patchGrad[float32](c, n, o.Filters, out, in)
	} else {
		patchGrad[float64](c, n, o.Filters, out, in)
	}
}

func patchGrad[T kernel.Float](c *kernel.Context, n convolution, filters bool, out Array, in []Array) {
	if filters {
		patchFilters(c, n, Elem[T](in[0]), Elem[T](in[1]), Elem[T](out))
	} else {
		patchInput(c, n, Elem[T](in[0]), Elem[T](in[1]), Elem[T](out))
	}
}

// A tile of patches has about patchTile elements, or patchRows patches. The
// gradient of the filters, whose products use all threads, takes larger ones.
const (
	patchRows       = 256
	patchTile       = 1 << 18
	filterPatchTile = 1 << 21
)

// patchLines calls f for each line of pixels of patch p, numbered through all
// images: elements [at, at+Kernel) of the patch, [channels, height, width], are
// elements from in on of x.
func (n *convolution) patchLines(p int, f func(at, in int)) {
	area, width := volume(n.out), n.kernel[2]
	image, p := p/area, p%area
	z, y, x := p/(n.out[1]*n.out[2])*n.kernel[0], p/n.out[2]%n.out[1]*n.kernel[1], p%n.out[2]*width
	at := 0
	for c := range n.channels {
		for kz := range n.kernel[0] {
			for ky := range n.kernel[1] {
				f(at, (((image*n.channels+c)*n.in[0]+z+kz)*n.in[1]+y+ky)*n.in[2]+x)
				at += width
			}
		}
	}
}

// gatherPatches copies patches [lo, hi).
func gatherPatches[T kernel.Float](n *convolution, x, patches []T, lo, hi int) {
	_, _, size := n.group()
	for p := lo; p < hi; p++ {
		patch := patches[(p-lo)*size : (p-lo+1)*size]
		n.patchLines(p, func(at, in int) { copy(patch[at:at+n.kernel[2]], x[in:]) })
	}
}

// patchTask computes tiles of all patches.
type patchTask[T kernel.Float] struct {
	convolution
	weights, bias []T // no bias: nil
	x, y          []T // images and tokens, or their cotangents
	input         bool
}

// runPatches runs a task on all patches.
func runPatches[T kernel.Float](c *kernel.Context, t patchTask[T]) {
	_, _, size := t.group()
	kernel.Run(c, t.images*volume(t.out), min(patchRows, patchTile/max(1, size)), t)
}

func (t *patchTask[T]) Chunk(c *kernel.Context, lo, hi int) {
	_, _, size := t.group()
	m := t.filters
	patches, y := kernel.Scratch[T](c, (hi-lo)*size), t.y[lo*m:hi*m]
	defer kernel.Release(c, patches)
	if t.input {
		kernel.Gemm(c, false, false, hi-lo, size, m, 1, y, m, t.weights, size, 0, patches, size)
		for p := lo; p < hi; p++ {
			patch := patches[(p-lo)*size : (p-lo+1)*size]
			t.patchLines(p, func(at, in int) { copy(t.x[in:], patch[at:at+t.kernel[2]]) })
		}
		return
	}
	gatherPatches(&t.convolution, t.x, patches, lo, hi)
	kernel.Gemm(c, false, true, hi-lo, m, size, 1, patches, size, t.weights, size, 0, y, m)
	if t.bias != nil {
		kernel.AddRow(c, y, t.bias, y, hi-lo, m)
	}
}

func embedPatches[T kernel.Float](c *kernel.Context, n convolution, out Array, in []Array) {
	t := patchTask[T]{convolution: n, x: Elem[T](in[0]), weights: Elem[T](in[1]), y: Elem[T](out)}
	if len(in) == 3 {
		t.bias = Elem[T](in[2])
	}
	runPatches(c, t)
}

// patchInput is the cotangent of the images. Patches do not overlap, but need
// not cover the image.
func patchInput[T kernel.Float](c *kernel.Context, n convolution, weights, dout, dx []T) {
	clear(dx)
	runPatches(c, patchTask[T]{convolution: n, x: dx, weights: weights, y: dout, input: true})
}

// patchFilters is the cotangent of the filters: doutᵀ·patches, added up over
// tiles in order.
func patchFilters[T kernel.Float](c *kernel.Context, n convolution, x, dout, dw []T) {
	_, _, size := n.group()
	positions, m := n.images*volume(n.out), n.filters
	tile := max(1, min(positions, max(patchRows, filterPatchTile/max(1, size))))
	patches := kernel.Scratch[T](c, tile*size)
	defer kernel.Release(c, patches)
	clear(dw)
	for lo := 0; lo < positions; lo += tile {
		hi := min(lo+tile, positions)
		kernel.Run(c, hi-lo, patchRows, patchGathering[T]{n, x, patches, lo})
		kernel.Gemm(c, true, false, m, size, hi-lo, 1, dout[lo*m:], m, patches, size, 1, dw, size)
	}
}

// patchGathering copies patches from a first one on.
type patchGathering[T kernel.Float] struct {
	convolution
	x, patches []T
	first      int
}

func (t *patchGathering[T]) Chunk(_ *kernel.Context, lo, hi int) {
	_, _, size := t.group()
	gatherPatches(&t.convolution, t.x, t.patches[lo*size:], t.first+lo, t.first+hi)
}
