package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// Col2Im adds up the columns [N, C·taps, positions] that windows of an image
// read, where they read them: the image [N, C, spatial...] of one to three
// spatial dimensions. Its gradient is Im2Col, and the other way round.
type Col2Im struct {
	PoolWindow
	Image []int // spatial shape
}

func (Col2Im) Name() string { return "Col2Im" }

// Infer checks that the columns are those of the windows.
func (o Col2Im) Infer(in []Type) (Type, error) {
	x, err := sameType(in, 1, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	for _, shape := range [][]int{o.Image, o.Kernel} { // products of these do not overflow
		if _, err := sized(x.With(shape...)); err != nil {
			return Type{}, err
		}
	}
	w, err := o.window(slices.Concat(shapes.Ones(2), o.Image))
	if err != nil {
		return Type{}, err
	}
	taps, positions := volume(w.kernel), volume(w.out)
	if x.Rank() != 3 || x.Shape[1]%taps != 0 || x.Shape[2] != positions {
		return Type{}, fmt.Errorf("expected columns [N, a multiple of %d, %d], found %v", taps, positions, x)
	}
	return sized(x.With(slices.Concat([]int{x.Shape[0], x.Shape[1] / taps}, o.Image)...))
}

// Forward adds the taps in their order, plane by plane.
func (o Col2Im) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.mustWindow(out.Shape)
	clearArray(c, out)
	if y, ok := out.Data.([]float32); ok {
		foldImage(c, &w, out.Shape, y, Elem[float32](in[0]))
		return
	}
	foldImage(c, &w, out.Shape, Elem[float64](out), Elem[float64](in[0]))
}

func foldImage[T kernel.Float](c *kernel.Context, w *window, shape []int, image, columns []T) {
	runPlanes(c, shape, w, folding[T]{*w, image, columns})
}

type folding[T kernel.Float] struct {
	window
	image, columns []T
}

func (t *folding[T]) Chunk(_ *kernel.Context, lo, hi int) {
	size, positions, step := volume(t.in), volume(t.out), t.stride[2]
	for plane := lo; plane < hi; plane++ {
		y, x := t.image[plane*size:], t.columns[plane*volume(t.kernel)*positions:]
		t.runs(func(tap, out, in, n int) {
			for _, v := range x[tap*positions+out:][:n] {
				y[in] += v
				in += step
			}
		})
	}
}

// Gradient reads the columns of the cotangent.
func (o Col2Im) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(im2Col{o}, dout)}
}

// im2Col reads the columns of an image; padding is 0.
type im2Col struct{ of Col2Im }

func (im2Col) Name() string { return "Im2Col" }

func (o im2Col) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	w, err := o.of.window(x.Shape)
	return x.With(x.Shape[0], x.Shape[1]*volume(w.kernel), volume(w.out)), err
}

func (o im2Col) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.of.mustWindow(in[0].Shape)
	clearArray(c, out)
	if y, ok := out.Data.([]float32); ok {
		unfoldColumns(c, &w, in[0].Shape, Elem[float32](in[0]), y)
		return
	}
	unfoldColumns(c, &w, in[0].Shape, Elem[float64](in[0]), Elem[float64](out))
}

func unfoldColumns[T kernel.Float](c *kernel.Context, w *window, shape []int, image, columns []T) {
	runPlanes(c, shape, w, unfolding[T]{*w, image, columns})
}

type unfolding[T kernel.Float] struct {
	window
	image, columns []T
}

func (t *unfolding[T]) Chunk(_ *kernel.Context, lo, hi int) {
	size, positions, step := volume(t.in), volume(t.out), t.stride[2]
	for plane := lo; plane < hi; plane++ {
		x, y := t.image[plane*size:], t.columns[plane*volume(t.kernel)*positions:]
		t.runs(func(tap, out, in, n int) {
			to := y[tap*positions+out:][:n]
			for i := range to {
				to[i] = x[in]
				in += step
			}
		})
	}
}
