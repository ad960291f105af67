package op

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// Softmax is exp(x)/Σ exp(x) along one axis, computed with the largest element
// subtracted. Where every element is -Inf the result is NaN.
type Softmax struct {
	Axis int // not negative
}

func (Softmax) Name() string { return "Softmax" }

// Infer checks the axis.
func (o Softmax) Infer(in []Type) (Type, error) { return inferAlong(o.Axis, 1, in) }

// inferAlong checks n equal inputs of a computation along an axis.
func inferAlong(axis, n int, in []Type) (Type, error) {
	t, err := sameType(in, n, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	if axis < 0 || axis >= t.Rank() {
		return Type{}, fmt.Errorf("expected an axis in [0, %d), found %d", t.Rank(), axis)
	}
	for _, u := range in {
		if !u.Equal(t) {
			return Type{}, fmt.Errorf("expected inputs of one shape, found %v and %v", t, u)
		}
	}
	return t, nil
}

func (o Softmax) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		alongAxis(c, o.Axis, out, in, softmaxRows[float32])
	} else {
		alongAxis(c, o.Axis, out, in, softmaxRows[float64])
	}
}

func softmaxRows[T kernel.Float](c *kernel.Context, in [2][]T, y []T, rows, d int) {
	kernel.Softmax(c, in[0], y, rows, d)
}

// Gradient is y·(dout − ⟨y, dout⟩) along the axis.
func (o Softmax) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(SoftmaxGradient(o), out, dout)}
}

// SoftmaxGradient is the cotangent of the input of Softmax, from its result and
// the result's cotangent.
type SoftmaxGradient struct{ Axis int }

func (SoftmaxGradient) Name() string                    { return "SoftmaxGradient" }
func (o SoftmaxGradient) Infer(in []Type) (Type, error) { return inferAlong(o.Axis, 2, in) }

func (o SoftmaxGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		alongAxis(c, o.Axis, out, in, softmaxGradientRows[float32])
	} else {
		alongAxis(c, o.Axis, out, in, softmaxGradientRows[float64])
	}
}

func softmaxGradientRows[T kernel.Float](c *kernel.Context, in [2][]T, dx []T, rows, d int) {
	kernel.SoftmaxGrad(c, in[0], in[1], dx, rows, d)
}

// LogSoftmax is x − log Σ exp(x) along one axis.
type LogSoftmax struct {
	Axis int // not negative
}

func (LogSoftmax) Name() string { return "LogSoftmax" }

// Infer checks the axis.
func (o LogSoftmax) Infer(in []Type) (Type, error) { return inferAlong(o.Axis, 1, in) }

func (o LogSoftmax) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		alongAxis(c, o.Axis, out, in, logSoftmaxRows[float32])
	} else {
		alongAxis(c, o.Axis, out, in, logSoftmaxRows[float64])
	}
}

func logSoftmaxRows[T kernel.Float](c *kernel.Context, in [2][]T, y []T, rows, d int) {
	kernel.Run(c, rows, rowGrain/max(d, 1), logSoftmaxTask[T]{in[0], y, d})
}

type logSoftmaxTask[T kernel.Float] struct {
	x, y []T
	d    int
}

func (t *logSoftmaxTask[T]) Chunk(_ *kernel.Context, lo, hi int) {
	for r := lo; r < hi; r++ {
		x, y := t.x[r*t.d:(r+1)*t.d], t.y[r*t.d:(r+1)*t.d]
		norm := rowLogSumExp(x)
		for i, v := range x {
			y[i] = T(float64(v) - norm)
		}
	}
}

// rowGrain is the number of elements that one task on rows handles.
const rowGrain = 1 << 11

// rowLogSumExp is log Σ exp(x[j]), summed in float64.
func rowLogSumExp[T kernel.Float](x []T) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// Gradient is dout − exp(y)·Σ dout along the axis.
func (o LogSoftmax) Gradient(g *Graph, _ []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(LogSoftmaxGradient(o), out, dout)}
}

// LogSoftmaxGradient is the cotangent of the input of LogSoftmax, from its
// result and the result's cotangent.
type LogSoftmaxGradient struct{ Axis int }

func (LogSoftmaxGradient) Name() string                    { return "LogSoftmaxGradient" }
func (o LogSoftmaxGradient) Infer(in []Type) (Type, error) { return inferAlong(o.Axis, 2, in) }

func (o LogSoftmaxGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		alongAxis(c, o.Axis, out, in, logSoftmaxGradientRows[float32])
	} else {
		alongAxis(c, o.Axis, out, in, logSoftmaxGradientRows[float64])
	}
}

func logSoftmaxGradientRows[T kernel.Float](c *kernel.Context, in [2][]T, dx []T, rows, d int) {
	kernel.Run(c, rows, rowGrain/max(d, 1), logSoftmaxGradientTask[T]{in[0], in[1], dx, d})
}

type logSoftmaxGradientTask[T kernel.Float] struct {
	y, dy, dx []T
	d         int
}

func (t *logSoftmaxGradientTask[T]) Chunk(_ *kernel.Context, lo, hi int) {
	for r := lo; r < hi; r++ {
		y, dy, dx := t.y[r*t.d:(r+1)*t.d], t.dy[r*t.d:(r+1)*t.d], t.dx[r*t.d:(r+1)*t.d]
		sum := 0.0
		for _, v := range dy {
			sum += float64(v)
		}
		for i, v := range y {
			dx[i] = T(float64(dy[i]) - math.Exp(float64(v))*sum)
		}
	}
}

// alongAxis applies a function of rows to one or two inputs along an axis. Rows
// along another axis than the last one are gathered first.
func alongAxis[T kernel.Float](c *kernel.Context, axis int, out Array, in []Array, f func(c *kernel.Context, in [2][]T, y []T, rows, d int)) {
	outer, d, inner := shapes.Elements(out.Shape[:axis]), out.Shape[axis], shapes.Elements(out.Shape[axis+1:])
	var x [2][]T
	for i, a := range in {
		x[i] = Elem[T](a)
	}
	y := Elem[T](out)
	if inner == 1 {
		f(c, x, y, outer, d)
		return
	}
	for i := range in {
		rows := kernel.Scratch[T](c, len(y))
		defer kernel.Release(c, rows)
		transposeMatrices(c, x[i], rows, outer, d, inner)
		x[i] = rows
	}
	rows := kernel.Scratch[T](c, len(y))
	defer kernel.Release(c, rows)
	f(c, x, rows, outer*inner, d)
	transposeMatrices(c, rows, y, outer, inner, d)
}

// transposeMatrices writes the transposes of a stack of matrices.
func transposeMatrices[T kernel.Float](c *kernel.Context, x, y []T, stack, rows, columns int) {
	kernel.Run(c, stack, kernel.Grain(rows*columns), transposing[T]{x, y, rows, columns})
}

type transposing[T kernel.Float] struct {
	x, y          []T
	rows, columns int
}

func (t *transposing[T]) Chunk(_ *kernel.Context, lo, hi int) {
	size := t.rows * t.columns
	for s := lo; s < hi; s++ {
		x, y := t.x[s*size:(s+1)*size], t.y[s*size:(s+1)*size]
		for i := range t.rows {
			for j, v := range x[i*t.columns : (i+1)*t.columns] {
				y[j*t.rows+i] = v
			}
		}
	}
}
