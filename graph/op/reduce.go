package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// The reductions combine the elements along Axes (ascending, not negative; none
// means that nothing is combined). KeepDims keeps the reduced dimensions as 1.

// ReduceSum is the sum.
type ReduceSum struct {
	Axes     []int
	KeepDims bool
}

// Name returns "ReduceSum".
func (ReduceSum) Name() string { return "ReduceSum" }

// Infer removes the axes, or makes them 1.
func (o ReduceSum) Infer(in []Type) (Type, error) {
	return reduction(o).infer(in, ClassFloat32, ClassFloat64, ClassInt)
}

// Forward sums.
func (o ReduceSum) Forward(c *kernel.Context, out Array, in []Array) {
	reduce(c, foldSum, out, in[0], reduction(o).flags(in[0].Rank()))
}

// Gradient repeats the cotangent along the axes.
func (o ReduceSum) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Spread{g.TypeOf(in[0]).Shape, o.Axes, 1}, dout)}
}

// ReduceMean is the mean; that of integers is truncated toward zero.
type ReduceMean struct {
	Axes     []int
	KeepDims bool
}

// Name returns "ReduceMean".
func (ReduceMean) Name() string { return "ReduceMean" }

// Infer removes the axes, or makes them 1.
func (o ReduceMean) Infer(in []Type) (Type, error) {
	return reduction(o).infer(in, ClassFloat32, ClassFloat64, ClassInt)
}

// Forward averages.
func (o ReduceMean) Forward(c *kernel.Context, out Array, in []Array) {
	reduce(c, foldSum, out, in[0], reduction(o).flags(in[0].Rank()))
	n := reduction(o).count(in[0].Shape)
	switch y := out.Data.(type) {
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

// Gradient spreads the cotangent evenly along the axes.
func (o ReduceMean) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	shape := g.TypeOf(in[0]).Shape
	return []*gorgonia.Node{g.Do(Spread{shape, o.Axes, 1 / float64(reduction(o).count(shape))}, dout)}
}

// ReduceL2 is the square root of the sum of squares.
type ReduceL2 struct {
	Axes     []int
	KeepDims bool
}

// Name returns "ReduceL2".
func (ReduceL2) Name() string { return "ReduceL2" }

// Infer removes the axes, or makes them 1.
func (o ReduceL2) Infer(in []Type) (Type, error) {
	return reduction(o).infer(in, ClassFloat32, ClassFloat64)
}

// Forward computes norms.
func (o ReduceL2) Forward(c *kernel.Context, out Array, in []Array) {
	reduce(c, foldSquares, out, in[0], reduction(o).flags(in[0].Rank()))
	switch y := out.Data.(type) {
	case []float32:
		for i, v := range y {
			y[i] = float32(math.Sqrt(float64(v)))
		}
	case []float64:
		for i, v := range y {
			y[i] = math.Sqrt(v)
		}
	}
}

// Gradient is dout·x/norm. It is not defined where the norm is 0: NaN.
func (o ReduceL2) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	scale := g.Do(Spread{g.TypeOf(in[0]).Shape, o.Axes, 1}, g.Do(Div{}, dout, out))
	return []*gorgonia.Node{g.Do(Mul{}, scale, in[0])}
}

// ReduceProd is the product.
type ReduceProd struct {
	Axes     []int
	KeepDims bool
}

// Name returns "ReduceProd".
func (ReduceProd) Name() string { return "ReduceProd" }

// Infer removes the axes, or makes them 1.
func (o ReduceProd) Infer(in []Type) (Type, error) {
	return reduction(o).infer(in, ClassFloat32, ClassFloat64, ClassInt)
}

// Forward multiplies.
func (o ReduceProd) Forward(c *kernel.Context, out Array, in []Array) {
	reduce(c, foldProduct, out, in[0], reduction(o).flags(in[0].Rank()))
}

// Gradient is dout times the product of the group's other elements.
func (o ReduceProd) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	spread := g.Do(Spread{g.TypeOf(in[0]).Shape, o.Axes, 1}, dout)
	return []*gorgonia.Node{g.Do(Mul{}, spread, g.Do(productOfOthers{o.Axes}, in[0]))}
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
	kept := slices.Clone(shape)
	for _, a := range o.Axes {
		kept[a] = 1
	}
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

// ReduceMax is the maximum; of no elements, the least value of the type.
type ReduceMax struct {
	Axes     []int
	KeepDims bool
}

// Name returns "ReduceMax".
func (ReduceMax) Name() string { return "ReduceMax" }

// Infer removes the axes, or makes them 1.
func (o ReduceMax) Infer(in []Type) (Type, error) {
	return reduction(o).infer(in, ClassFloat32, ClassFloat64, ClassInt)
}

// Forward takes maxima.
func (o ReduceMax) Forward(c *kernel.Context, out Array, in []Array) {
	reduce(c, foldMax, out, in[0], reduction(o).flags(in[0].Rank()))
}

// Gradient divides the cotangent evenly among the elements equal to the
// maximum.
func (o ReduceMax) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{gradientOfExtremum(g, reduction(o), in[0], out, dout)}
}

// ReduceMin is the minimum; of no elements, the greatest value of the type.
type ReduceMin struct {
	Axes     []int
	KeepDims bool
}

// Name returns "ReduceMin".
func (ReduceMin) Name() string { return "ReduceMin" }

// Infer removes the axes, or makes them 1.
func (o ReduceMin) Infer(in []Type) (Type, error) {
	return reduction(o).infer(in, ClassFloat32, ClassFloat64, ClassInt)
}

// Forward takes minima.
func (o ReduceMin) Forward(c *kernel.Context, out Array, in []Array) {
	reduce(c, foldMin, out, in[0], reduction(o).flags(in[0].Rank()))
}

// Gradient divides the cotangent evenly among the elements equal to the
// minimum.
func (o ReduceMin) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{gradientOfExtremum(g, reduction(o), in[0], out, dout)}
}

func gradientOfExtremum(g *Graph, r reduction, in, out, dout *gorgonia.Node) *gorgonia.Node {
	t := g.TypeOf(in)
	attained := g.Do(Equal{}, in, g.Do(Spread{t.Shape, r.Axes, 1}, out))
	ones := g.Do(Cast{To: t.DType}, attained)
	share := g.Do(Div{}, dout, g.Do(ReduceSum{r.Axes, g.TypeOf(out).Rank() == t.Rank()}, ones))
	return g.Do(Mask{}, attained, g.Do(Spread{t.Shape, r.Axes, 1}, share))
}

// Spread is the transpose of a sum over Axes that left the dimensions in place
// or dropped them: the input repeated along the axes to Shape, times Scale.
type Spread struct {
	Shape []int
	Axes  []int
	Scale float64
}

// Name returns "Spread".
func (Spread) Name() string { return "Spread" }

// Infer returns Shape.
func (o Spread) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	if kept := (reduction{Axes: o.Axes}).keptShape(o.Shape); shapes.Elements(kept) != t.Elements() {
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
	l := newLoops(o.Shape, reduction{Axes: o.Axes}.keptShape(o.Shape))
	scale := T(o.Scale)
	c.Parallel(len(y), pointwiseGrain, func(lo, hi int) {
		l.rows(lo, hi, func(at, n int, offset []int) {
			y := y[at : at+n]
			if l.inner(0) == 0 {
				v := scale * x[offset[0]]
				for i := range y {
					y[i] = v
				}
				return
			}
			for i, v := range x[offset[0] : offset[0]+n] {
				y[i] = scale * v
			}
		})
	})
}

// SumTo sums its input to Shape, which broadcasts to the input's shape: the
// transpose of broadcasting. The gradient of every broadcast operation ends in
// it.
type SumTo struct{ Shape []int }

// Name returns "SumTo".
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

// Forward sums.
func (o SumTo) Forward(c *kernel.Context, out Array, in []Array) {
	reduced := make([]bool, in[0].Rank())
	lead := len(reduced) - len(o.Shape)
	for i := range reduced {
		reduced[i] = i < lead || o.Shape[i-lead] == 1
	}
	reduce(c, foldSum, out, in[0], reduced)
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
