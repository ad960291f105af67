package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// AveragePool is the mean of each window, over the elements within the input or,
// with CountPads, also over the zeros of the padding.
type AveragePool struct {
	PoolWindow
	CountPads bool
	// ByColumns adds up the columns of each window first, and divides by the count: the
	// order that ONNX Runtime 1.32 has, which decides where a mean of integers lies
	// half-way between two. Other orders are faster.
	ByColumns bool
}

func (AveragePool) Name() string { return "AveragePool" }

// Infer checks the geometry.
func (o AveragePool) Infer(in []Type) (Type, error) {
	return o.infer(in, ClassFloat32, ClassFloat64)
}

func (o AveragePool) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.mustWindow(in[0].Shape)
	if _, ok := out.Data.([]float32); ok {
		averagePool[float32](c, &w, o, out, in[0])
	} else {
		averagePool[float64](c, &w, o, out, in[0])
	}
}

func averagePool[T kernel.Float](c *kernel.Context, w *window, o AveragePool, out, in Array) {
	x, y, area := Elem[T](in), Elem[T](out), volume(w.out)
	weights := kernel.Scratch[T](c, area)
	defer kernel.Release(c, weights)
	if o.ByColumns {
		averageCounts(w, o.CountPads, weights)
		runPlanes(c, in.Shape, w, averagingColumns[T]{summing[T]{*w, x, y}, weights})
		return
	}
	averageWeights(w, o.CountPads, weights)
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

type averagingColumns[T kernel.Float] struct {
	summing[T]
	counts []T
}

func (t *averagingColumns[T]) Chunk(_ *kernel.Context, lo, hi int) {
	area, plane := volume(t.out), volume(t.in)
	for i := lo; i < hi; i++ {
		x, y := t.x[i*plane:(i+1)*plane], t.y[i*area:(i+1)*area]
		for j, n := range t.counts {
			sum := T(0)
			for column := range t.kernel[2] {
				sum += t.columnSum(x, j, column)
			}
			y[j] = sum / n
		}
	}
}

// columnSum adds up what one column of the taps reads for an output position.
func (t *averagingColumns[T]) columnSum(x []T, position, column int) T {
	width, height := t.out[2], t.out[1]
	first := [spatialDims]int{position / width / height, position / width % height, position % width}
	sum := T(0)
	for kz := range t.kernel[0] {
		for ky := range t.kernel[1] {
			at, inside := 0, true
			for d, tap := range [spatialDims]int{kz, ky, column} {
				p := first[d]*t.stride[d] - t.before[d] + tap*t.dilation[d]
				inside = inside && p >= 0 && p < t.in[d]
				at = at*t.in[d] + p
			}
			if inside {
				sum += x[at]
			}
		}
	}
	return sum
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
