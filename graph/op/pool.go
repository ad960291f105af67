package op

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// PoolWindow is the geometry of a pooling operation over an input
// [N, C, spatial...] with one to three spatial dimensions.
type PoolWindow struct {
	Kernel, Strides, Dilations []int // one for each spatial dimension
	Pads                       []int // before each dimension, then after
	Ceil                       bool  // round the number of windows up
}

func (o PoolWindow) window(shape []int) (window, error) {
	return newWindow(shape, o.Kernel, o.Strides, o.Dilations, o.Pads, o.Ceil)
}

// mustWindow is window for a shape that Infer has checked.
func (o PoolWindow) mustWindow(shape []int) window {
	w, err := o.window(shape)
	if err != nil {
		panic("op: pooling: " + err.Error())
	}
	return w
}

// infer returns the result's type for inputs of the given classes.
func (o PoolWindow) infer(in []Type, classes ...Class) (Type, error) {
	x, err := sameType(in, 1, classes...)
	if err != nil {
		return Type{}, err
	}
	w, err := o.window(x.Shape)
	if err != nil {
		return Type{}, err
	}
	return sized(x.With(append([]int{x.Shape[0], x.Shape[1]}, w.outShape(x.Rank())...)...))
}

// runPlanes runs a task on every plane of an array [N, C, spatial...].
func runPlanes[T any, P interface {
	*T
	kernel.Task
}](c *kernel.Context, shape []int, w *window, task T) {
	kernel.Run[T, P](c, shape[0]*shape[1], kernel.Grain(volume(w.out)*volume(w.kernel)), task)
}

// MaxPool is the largest element of each window; padding never is.
type MaxPool struct{ PoolWindow }

func (MaxPool) Name() string { return "MaxPool" }

// Infer checks the geometry.
func (o MaxPool) Infer(in []Type) (Type, error) {
	return o.infer(in, ClassFloat32, ClassFloat64, ClassInt)
}

func (o MaxPool) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.mustWindow(in[0].Shape)
	switch out.Data.(type) {
	case []float32:
		if w.planar() && c.Convolves(w.channelwise(in[0].Shape)) {
			kernel.MaxPool(c, w.channelwise(in[0].Shape), Elem[float32](in[0]), Elem[float32](out))
			return
		}
		maxPool(c, &w, out, in[0], float32(math.Inf(-1)))
	case []float64:
		maxPool(c, &w, out, in[0], math.Inf(-1))
	default:
		maxPool[int64](c, &w, out, in[0], math.MinInt64)
	}
}

func maxPool[T Number](c *kernel.Context, w *window, out, in Array, least T) {
	runPlanes(c, in.Shape, w, maxPooling[T]{*w, Elem[T](in), Elem[T](out), least})
}

type maxPooling[T Number] struct {
	window
	x, y  []T
	least T
}

func (t *maxPooling[T]) Chunk(_ *kernel.Context, lo, hi int) {
	area, plane, step := volume(t.out), volume(t.in), t.stride[spatialDims-1]
	for i := lo; i < hi; i++ {
		x, y := t.x[i*plane:(i+1)*plane], t.y[i*area:(i+1)*area]
		for j := range y {
			y[j] = t.least
		}
		t.runs(func(_, out, in, n int) {
			y := y[out : out+n]
			for j := range y {
				y[j] = max(y[j], x[in+j*step])
			}
		})
	}
}

// Gradient passes each window's cotangent to its first largest element.
func (o MaxPool) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(MaxPoolGradient(o), in[0], out, dout)}
}

// MaxPoolGradient is the cotangent of the input of MaxPool, from the input, the
// result and its cotangent.
type MaxPoolGradient struct{ PoolWindow }

func (MaxPoolGradient) Name() string { return "MaxPoolGradient" }

func (o MaxPoolGradient) Infer(in []Type) (Type, error) {
	if len(in) != 3 || !in[1].Equal(in[2]) {
		return Type{}, fmt.Errorf("expected an input, a result and a cotangent, found %v", in)
	}
	return in[0], nil
}

func (o MaxPoolGradient) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.mustWindow(in[0].Shape)
	if _, ok := out.Data.([]float32); ok {
		maxPoolGrad[float32](c, &w, out, in)
	} else {
		maxPoolGrad[float64](c, &w, out, in)
	}
}

func maxPoolGrad[T kernel.Float](c *kernel.Context, w *window, out Array, in []Array) {
	runPlanes(c, in[0].Shape, w, maxPoolingGrad[T]{*w, Elem[T](in[0]), Elem[T](in[1]), Elem[T](in[2]), Elem[T](out)})
}

type maxPoolingGrad[T kernel.Float] struct {
	window
	x, y, dy, dx []T
}

func (t *maxPoolingGrad[T]) Chunk(c *kernel.Context, lo, hi int) {
	area, plane, step := volume(t.out), volume(t.in), t.stride[spatialDims-1]
	rest := kernel.Scratch[T](c, area) // what has not found its element yet
	defer kernel.Release(c, rest)
	for i := lo; i < hi; i++ {
		x, dx := t.x[i*plane:(i+1)*plane], t.dx[i*plane:(i+1)*plane]
		y := t.y[i*area : (i+1)*area]
		clear(dx)
		copy(rest, t.dy[i*area:])
		t.runs(func(_, out, in, n int) {
			for j := range n {
				if at := in + j*step; x[at] == y[out+j] {
					dx[at] += rest[out+j]
					rest[out+j] = 0
				}
			}
		})
	}
}

// MaxPoolIndices is where MaxPool found its elements: INT64 indices into the
// flattened input, whose spatial dimensions are numbered last to first with
// ColumnMajor.
type MaxPoolIndices struct {
	PoolWindow
	ColumnMajor bool
}

func (MaxPoolIndices) Name() string { return "MaxPoolIndices" }

// Infer checks the geometry.
func (o MaxPoolIndices) Infer(in []Type) (Type, error) {
	t, err := o.infer(in, ClassFloat32, ClassFloat64, ClassInt)
	t.DType = onnx.Int64
	return t, err
}

// Forward finds the indices.
func (o MaxPoolIndices) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.mustWindow(in[0].Shape)
	runPlanes(c, in[0].Shape, &w, maxPoolIndexing{w, in[0].AsFloats(), Elem[int64](out), o.ColumnMajor})
}

type maxPoolIndexing struct {
	window
	x       []float64
	y       []int64
	columns bool
}

func (t *maxPoolIndexing) Chunk(_ *kernel.Context, lo, hi int) {
	area, plane, step := volume(t.out), volume(t.in), t.stride[spatialDims-1]
	for i := lo; i < hi; i++ {
		x, y := t.x[i*plane:(i+1)*plane], t.y[i*area:(i+1)*area]
		for j := range y {
			y[j] = -1
		}
		t.runs(func(_, out, in, n int) {
			for j := range n {
				if best := y[out+j]; best < 0 || x[in+j*step] > x[best] {
					y[out+j] = int64(in + j*step)
				}
			}
		})
		for j, at := range y {
			if t.columns {
				at = t.columnMajor(at)
			}
			y[j] = int64(i*plane) + at
		}
	}
}

// columnMajor renumbers an element of a plane.
func (w *window) columnMajor(at int64) int64 {
	y0, y1, y2 := int64(w.in[0]), int64(w.in[1]), int64(w.in[2])
	z, y, x := at/(y1*y2), at/y2%y1, at%y2
	return (x*y1+y)*y0 + z
}
