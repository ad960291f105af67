package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// Reduce combines the elements along Axes, which are ascending and not negative;
// without any, nothing is combined. KeepDims keeps the reduced dimensions as 1.
type Reduce struct {
	By       Reduction
	Axes     []int
	KeepDims bool
}

func (o Reduce) Name() string {
	return [...]string{"ReduceSum", "ReduceMean", "ReduceL2", "ReduceProd", "ReduceMax", "ReduceMin"}[o.By]
}

// Infer removes the axes, or makes them 1.
func (o Reduce) Infer(in []Type) (Type, error) {
	classes := []Class{ClassFloat32, ClassFloat64, ClassInt}
	if o.By == ReduceL2 {
		classes = classes[:2]
	}
	t, err := sameType(in, 1, classes...)
	if err != nil {
		return Type{}, err
	}
	for i, a := range o.Axes {
		if a < 0 || a >= t.Rank() || i > 0 && a <= o.Axes[i-1] {
			return Type{}, fmt.Errorf("axes %v: expected ascending numbers of the dimensions of %v", o.Axes, t)
		}
	}
	if o.KeepDims {
		return t.With(keptShape(t.Shape, o.Axes)...), nil
	}
	shape := []int{}
	for i, d := range t.Shape {
		if !slices.Contains(o.Axes, i) {
			shape = append(shape, d)
		}
	}
	return t.With(shape...), nil
}

// Forward combines, then finishes means and norms.
func (o Reduce) Forward(c *kernel.Context, out Array, in []Array) {
	var reduced [shapes.MaxRank]bool
	for _, a := range o.Axes {
		reduced[a] = true
	}
	reduce(c, o.By, out, in[0], reduced[:in[0].Rank()])
	switch o.By {
	case ReduceMean:
		divide(out, combined(in[0].Shape, o.Axes))
	case ReduceL2:
		pointwise(c, out, out, squareRoot[float32], squareRoot[float64], nil)
	}
}

// divide divides every element by n.
func divide(a Array, n int) {
	switch y := a.Data.(type) {
	case []float32:
		for i, v := range y {
			y[i] = float32(float64(v) / float64(n))
		}
	case []float64:
		for i := range y {
			y[i] /= float64(n)
		}
	case []int64:
		for i := range y {
			y[i] /= int64(max(n, 1))
		}
	}
}

// keptShape is shape with the reduced dimensions kept as 1.
func keptShape(shape, axes []int) []int {
	out := slices.Clone(shape)
	for _, a := range axes {
		out[a] = 1
	}
	return out
}

// combined is the number of elements that a reduction combines into one.
func combined(shape, axes []int) int {
	n := 1
	for _, a := range axes {
		n *= shape[a]
	}
	return n
}

// Gradient spreads the cotangent along the axes: the same for each element of a
// sum, an equal part of a mean, times x/norm for a norm (NaN where that is 0),
// times the product of the others for a product, and divided evenly among the
// elements that attain an extremum.
func (o Reduce) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	x, shape := in[0], g.TypeOf(in[0]).Shape
	spread := func(n *gorgonia.Node, scale float64) *gorgonia.Node { return g.Do(Spread{shape, o.Axes, scale}, n) }
	var dx *gorgonia.Node
	switch o.By {
	case ReduceSum:
		dx = spread(dout, 1)
	case ReduceMean:
		dx = spread(dout, 1/float64(combined(shape, o.Axes)))
	case ReduceL2:
		dx = g.Do(Mul{}, spread(g.Do(Div{}, dout, out), 1), x)
	case ReduceProd:
		dx = g.Do(Mul{}, spread(dout, 1), g.Do(productOfOthers{o.Axes}, x))
	default:
		attained := g.Do(Equal{}, x, spread(out, 1))
		count := g.Do(Reduce{ReduceSum, o.Axes, o.KeepDims}, g.Do(Cast{To: g.TypeOf(x).DType}, attained))
		dx = g.Do(Mask{}, attained, spread(g.Do(Div{}, dout, count), 1))
	}
	return []*gorgonia.Node{dx}
}

// productOfOthers is, for each element, the product of the others that a
// reduction over Axes combines it with. It does not divide: elements may be 0.
type productOfOthers struct{ Axes []int }

func (productOfOthers) Name() string                  { return "ReduceProdGradient" }
func (productOfOthers) Infer(in []Type) (Type, error) { return inferFloat(in) }

func (o productOfOthers) Forward(_ *kernel.Context, out Array, in []Array) {
	if y, ok := out.Data.([]float32); ok {
		multiplyOthers(o, out.Shape, y, Elem[float32](in[0]))
		return
	}
	multiplyOthers(o, out.Shape, Elem[float64](out), Elem[float64](in[0]))
}

func multiplyOthers[T kernel.Float](o productOfOthers, shape []int, y, x []T) {
	kept := keptShape(shape, o.Axes)
	strides := shapes.RowMajor(kept)
	for _, a := range o.Axes {
		strides[a] = 0
	}
	whole := shapes.RowMajor(shape)
	group := func(i int) int {
		at := 0
		for d, step := range whole {
			at += i / step % shape[d] * strides[d]
		}
		return at
	}
	running := make([]float64, shapes.Elements(kept))
	multiply := func(i int, before float64) float64 {
		r := &running[group(i)]
		others := before * *r
		*r *= float64(x[i])
		return others
	}
	for i := range running {
		running[i] = 1
	}
	for i := range x { // the product of those before
		y[i] = T(multiply(i, 1))
	}
	for i := range running {
		running[i] = 1
	}
	for i := len(x) - 1; i >= 0; i-- { // times those after
		y[i] = T(multiply(i, float64(y[i])))
	}
}

// Spread is the transpose of a sum over Axes that left the dimensions in place
// or dropped them: the input repeated along the axes to Shape, times Scale.
type Spread struct {
	Shape []int
	Axes  []int
	Scale float64
}

func (Spread) Name() string { return "Spread" }

// Infer returns Shape.
func (o Spread) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	if kept := keptShape(o.Shape, o.Axes); shapes.Elements(kept) != t.Elements() {
		return Type{}, fmt.Errorf("expected %d elements to spread to %v along axes %v, found %v", shapes.Elements(kept), o.Shape, o.Axes, t)
	}
	return t.With(o.Shape...), nil
}

// Forward repeats and scales.
func (o Spread) Forward(c *kernel.Context, out Array, in []Array) {
	switch y := out.Data.(type) {
	case []float32:
		spread(c, o, y, Elem[float32](in[0]))
	case []float64:
		spread(c, o, y, Elem[float64](in[0]))
	}
}

func spread[T kernel.Float](c *kernel.Context, o Spread, y, x []T) {
	kept := dimsOf(o.Shape)
	for _, a := range o.Axes {
		kept.at[a] = 1
	}
	kernel.Run(c, len(y), kernel.Grain(1), spreading[T]{newLoops(o.Shape, kept.all()), T(o.Scale), x, y})
}

type spreading[T kernel.Float] struct {
	loops
	scale T
	x, y  []T
}

func (t *spreading[T]) Chunk(_ *kernel.Context, lo, hi int) {
	scale := t.scale
	t.rows(lo, hi, func(at, n int, offset [maxOperands]int) {
		y := t.y[at : at+n]
		if t.inner(0) == 0 {
			v := scale * t.x[offset[0]]
			for i := range y {
				y[i] = v
			}
			return
		}
		for i, v := range t.x[offset[0] : offset[0]+n] {
			y[i] = scale * v
		}
	})
}

// SumTo sums its input to Shape, which broadcasts to the input's shape: the
// transpose of broadcasting. The gradient of every broadcast operation ends in
// it.
type SumTo struct{ Shape []int }

func (SumTo) Name() string { return "SumTo" }

// Infer returns Shape.
func (o SumTo) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	if shape, err := shapes.Broadcast(o.Shape, t.Shape); err != nil || !slices.Equal(shape, t.Shape) {
		return Type{}, fmt.Errorf("expected a shape that %v broadcasts to, found %v", o.Shape, t)
	}
	return t.With(o.Shape...), nil
}

func (o SumTo) Forward(c *kernel.Context, out Array, in []Array) {
	var reduced [shapes.MaxRank]bool
	rank := in[0].Rank()
	lead := rank - len(o.Shape)
	for i := range rank {
		reduced[i] = i < lead || o.Shape[i-lead] == 1
	}
	reduce(c, ReduceSum, out, in[0], reduced[:rank])
}

// Gradient repeats the cotangent.
func (o SumTo) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	shape := g.TypeOf(in[0]).Shape
	var axes []int
	lead := len(shape) - len(o.Shape)
	for i := range shape {
		if i < lead || o.Shape[i-lead] == 1 {
			axes = append(axes, i)
		}
	}
	return []*gorgonia.Node{g.Do(Spread{shape, axes, 1}, dout)}
}

// sumTo sums a cotangent to the shape of the input it belongs to.
func (g *Graph) sumTo(dout, input *gorgonia.Node) *gorgonia.Node {
	shape := g.TypeOf(input).Shape
	if slices.Equal(shape, g.TypeOf(dout).Shape) {
		return dout
	}
	return g.Do(SumTo{slices.Clone(shape)}, dout)
}
