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

// AveragePool is the mean of each window, over the elements within the input or,
// with CountPads, also over the zeros of the padding.
type AveragePool struct {
	PoolWindow
	CountPads bool
}

func (AveragePool) Name() string { return "AveragePool" }

// Infer checks the geometry.
func (o AveragePool) Infer(in []Type) (Type, error) {
	return o.infer(in, ClassFloat32, ClassFloat64)
}

func (o AveragePool) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.mustWindow(in[0].Shape)
	if _, ok := out.Data.([]float32); ok {
		averagePool[float32](c, &w, o.CountPads, out, in[0])
	} else {
		averagePool[float64](c, &w, o.CountPads, out, in[0])
	}
}

func averagePool[T kernel.Float](c *kernel.Context, w *window, pads bool, out, in Array) {
	x, y, area := Elem[T](in), Elem[T](out), volume(w.out)
	weights := kernel.Scratch[T](c, area)
	defer kernel.Release(c, weights)
	averageWeights(w, pads, weights)
	if sums, ok := any(y).([]float32); ok && w.planar() && c.Convolves(w.channelwise(in.Shape)) {
		g, ones := w.sums(c, in.Shape)
		defer kernel.Release(c, ones)
		kernel.Convolve(c, g, any(x).([]float32), ones, kernel.Unbounded(), sums)
		kernel.MulRow(c, y, weights, y, g.Images*g.Channels, area)
		return
	}
	runPlanes(c, in.Shape, w, averaging[T]{summing[T]{*w, x, y}, weights})
}

// summing adds up the elements of each window, in order.
type summing[T kernel.Float] struct {
	window
	x, y []T
}

// plane returns the sums of a plane, where they lie in y.
func (t *summing[T]) plane(i int) []T {
	area, plane, step := volume(t.out), volume(t.in), t.stride[spatialDims-1]
	x, y := t.x[i*plane:(i+1)*plane], t.y[i*area:(i+1)*area]
	clear(y)
	t.runs(func(_, out, in, n int) {
		y := y[out : out+n]
		for j := range y {
			y[j] += x[in+j*step]
		}
	})
	return y
}

type averaging[T kernel.Float] struct {
	summing[T]
	weights []T
}

func (t *averaging[T]) Chunk(_ *kernel.Context, lo, hi int) {
	for i := lo; i < hi; i++ {
		y := t.plane(i)
		for j, v := range t.weights {
			y[j] *= v
		}
	}
}

// channelwise is the geometry of a planar window over each channel of an array
// [N, C, ...] by itself.
func (w *window) channelwise(shape []int) kernel.Convolution {
	g := w.planes()
	g.Images, g.Channels, g.Filters, g.Groups = shape[0], shape[1], shape[1], shape[1]
	return g
}

// sums is the convolution that adds up the elements of each window: its geometry
// and filters, which the caller releases.
func (w *window) sums(c *kernel.Context, shape []int) (g kernel.Convolution, ones []float32) {
	g = w.channelwise(shape)
	ones = kernel.Scratch[float32](c, g.Channels*volume(w.kernel))
	for i := range ones {
		ones[i] = 1
	}
	return g, ones
}

// averageWeights fills in 1/count for each window.
func averageWeights[T kernel.Float](w *window, pads bool, weights []T) {
	averageCounts(w, pads, weights)
	for i, n := range weights {
		weights[i] = 1 / n
	}
}

// averageCounts fills in for each window how many taps count. Those beyond the padding,
// which rounding up leads to, never do.
func averageCounts[T kernel.Float](w *window, pads bool, counts []T) {
	count := func(dim, position int) int {
		n := 0
		for tap := range w.kernel[dim] {
			at := position*w.stride[dim] - w.before[dim] + tap*w.dilation[dim]
			if pads && at < w.in[dim]+w.after[dim] || at >= 0 && at < w.in[dim] {
				n++
			}
		}
		return n
	}
	i := 0
	for z := range w.out[0] {
		for y := range w.out[1] {
			for x := range w.out[2] {
				counts[i] = T(count(0, z) * count(1, y) * count(2, x))
				i++
			}
		}
	}
}

// Gradient spreads each window's cotangent over its elements.
func (o AveragePool) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(AveragePoolGradient{o, g.TypeOf(in[0]).Shape}, dout)}
}

// AveragePoolGradient is the cotangent of the input of AveragePool, of the shape
// given, from the result's.
type AveragePoolGradient struct {
	Pool  AveragePool
	Shape []int
}

func (AveragePoolGradient) Name() string { return "AveragePoolGradient" }

func (o AveragePoolGradient) Infer(in []Type) (Type, error) {
	if len(in) != 1 {
		return Type{}, fmt.Errorf("expected 1 input, found %d", len(in))
	}
	x := in[0].With(o.Shape...)
	if t, err := o.Pool.Infer([]Type{x}); err != nil || !t.Equal(in[0]) {
		return Type{}, fmt.Errorf("expected a cotangent %v, found %v", t, in[0])
	}
	return x, nil
}

func (o AveragePoolGradient) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.Pool.mustWindow(o.Shape)
	if _, ok := out.Data.([]float32); ok {
		averagePoolGrad[float32](c, &w, o.Pool.CountPads, out, in[0])
	} else {
		averagePoolGrad[float64](c, &w, o.Pool.CountPads, out, in[0])
	}
}

func averagePoolGrad[T kernel.Float](c *kernel.Context, w *window, pads bool, out, in Array) {
	dy, dx, area := Elem[T](in), Elem[T](out), volume(w.out)
	weights := kernel.Scratch[T](c, area)
	defer kernel.Release(c, weights)
	averageWeights(w, pads, weights)
	if to, ok := any(dx).([]float32); ok && w.planar() && c.Convolves(w.channelwise(out.Shape)) {
		g, ones := w.sums(c, out.Shape)
		defer kernel.Release(c, ones)
		if g.ConvolvesInput() {
			shares := kernel.Scratch[T](c, len(dy))
			defer kernel.Release(c, shares)
			kernel.MulRow(c, dy, weights, shares, g.Images*g.Channels, area)
			kernel.ConvolveInput(c, g, ones, any(shares).([]float32), to)
			return
		}
	}
	runPlanes(c, out.Shape, w, averagingGrad[T]{*w, dy, dx, weights})
}

type averagingGrad[T kernel.Float] struct {
	window
	dy, dx, weights []T
}

func (t *averagingGrad[T]) Chunk(_ *kernel.Context, lo, hi int) {
	area, plane, step := volume(t.out), volume(t.in), t.stride[spatialDims-1]
	for i := lo; i < hi; i++ {
		dy, dx := t.dy[i*area:(i+1)*area], t.dx[i*plane:(i+1)*plane]
		clear(dx)
		t.runs(func(_, out, in, n int) {
			for j, d := range dy[out : out+n] {
				dx[in+j*step] += d * t.weights[out+j]
			}
		})
	}
}
