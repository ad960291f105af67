package op

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// OnGrid is an Op whose result lies on a grid: its integers are what QuantizeLinear
// makes of it.
type OnGrid interface {
	Op
	RoundsTo() onnx.Grid
}

// RoundsTo is the grid of both of its parts.
func (o FakeQuantize) RoundsTo() onnx.Grid { return o.Grid }

// The operators of integers of ai.onnx and com.microsoft leave open in which order
// float32 multiplies by scales and adds zero points. It decides where a number lies
// half-way between two integers, as every sum of some networks does. The operations
// below have the order that ONNX Runtime 1.32 has on x86-64, found by experiment:
// tests hold what it gives. Their gradients are those of [FakeQuantize] behind the
// operation on floats that they stand for.

// Requantize brings a result of integers to a grid: q = saturate(round(n·m) + z), ties
// to even, all in float32, where n is the whole number of steps that x is of. Step and
// m, Multiplier, are one number for all or one for each index of Axis, z is that of the
// grid, which has one group. The floats that x was computed in have told it no better
// than to a part of a step; the integers that they stand for are exact again in n.
type Requantize struct {
	Grid       onnx.Grid
	Step       []float64
	Multiplier []float32
	Axis       int
	// ZeroFirst adds z before it rounds: q = saturate(round(n·m + z)).
	ZeroFirst bool
}

func (Requantize) Name() string { return "Requantize" }

// RoundsTo is the grid of the result.
func (o Requantize) RoundsTo() onnx.Grid { return o.Grid }

// Infer returns the type of x.
func (o Requantize) Infer(in []Type) (Type, error) { return sameType(in, 1, ClassFloat32) }

func (o Requantize) Forward(c *kernel.Context, out Array, in []Array) {
	x, y := Elem[float32](in[0]), Elem[float32](out)
	steps := onnx.Grid{Axis: -1}
	if len(o.Step) > 1 {
		steps.Axis = o.Axis
	}
	group := steps.Groups(out.Shape)
	c.Parallel(len(x), kernel.Grain(1), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			k := group(i)
			n := float32(math.RoundToEven(float64(x[i]) / o.Step[k]))
			y[i] = rounded(&o.Grid, float32(n*o.Multiplier[k]), o.ZeroFirst)
		}
	})
}

// Gradient is that of FakeQuantize.
func (o Requantize) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return FakeQuantize{o.Grid}.Gradient(g, in, nil, dout, nil)
}

// rounded is what the grid, of one group, has for a number of steps from its zero point,
// which is added after or before it is rounded.
func rounded(g *onnx.Grid, steps float32, zeroFirst bool) float32 {
	z := zeroPoint(g)
	if zeroFirst {
		return saturated(g, math.RoundToEven(float64(steps+z)))
	}
	return saturated(g, math.RoundToEven(float64(steps))+float64(z))
}

// saturated is the number that an integer of a grid of one group stands for, or the
// nearest end of its range; z for NaN.
func saturated(g *onnx.Grid, q float64) float32 {
	if q != q {
		q = float64(zeroPoint(g))
	}
	lo, hi := g.Range()
	return g.Value(int64(min(max(q, float64(lo)), float64(hi))), 0)
}

func zeroPoint(g *onnx.Grid) float32 {
	if g.Zero == nil {
		return 0
	}
	return float32(g.Zero[0])
}

// QLinearAdd is a + b of numbers on two grids, rounded to a third. All have one group.
type QLinearAdd struct{ A, B, Out onnx.Grid }

func (QLinearAdd) Name() string { return "QLinearAdd" }

// RoundsTo is the grid of the result.
func (o QLinearAdd) RoundsTo() onnx.Grid { return o.Out }

// Infer broadcasts the two inputs.
func (QLinearAdd) Infer(in []Type) (Type, error) {
	if _, err := sameType(in, 2, ClassFloat32); err != nil {
		return Type{}, err
	}
	return inferArithmetic(in)
}

// Forward is round(a·ra + (b·rb + (z − (za·ra + zb·rb)))) of the integers a and b, where
// ra and rb are the scales of the operands over that of the result. A product and the
// sum that it is a term of are rounded once, but for those with a zero point.
func (o QLinearAdd) Forward(c *kernel.Context, out Array, in []Array) {
	sa, sb, scale := o.A.Scale[0], o.B.Scale[0], o.Out.Scale[0]
	za, zb, ra, rb := zeroPoint(&o.A), zeroPoint(&o.B), sa/scale, sb/scale
	rest := zeroPoint(&o.Out) - float32(float32(za*ra)+float32(zb*rb))
	// Integers of 8 bits: the product and all but the last bits of the sum are exact
	// in float64.
	sum := func(x, y, z float32) float32 { return float32(float64(x)*float64(y) + float64(z)) }
	broadcast(c, out, in, rowsOf(func(a, b float32) float32 {
		q := sum(stepsOf(a, sa)+za, ra, sum(stepsOf(b, sb)+zb, rb, rest))
		return saturated(&o.Out, math.RoundToEven(float64(q)))
	}))
}

// stepsOf is x over the scale of its grid: a whole number for those on the grid, from
// which two roundings to float32 may have led away. A weight that is being moved may
// lie between.
func stepsOf(x, scale float32) float32 {
	q := x / scale
	if whole := float32(math.RoundToEven(float64(q))); math.Abs(float64(q-whole)) <= math.Abs(float64(whole))*0x1p-22 {
		return whole
	}
	return q
}

// Gradient is that of FakeQuantize behind Add.
func (o QLinearAdd) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	sum := g.Do(Add{}, in...)
	return Add{}.Gradient(g, in, sum, FakeQuantize{o.Out}.Gradient(g, []*gorgonia.Node{sum}, nil, dout, nil)[0], need)
}

// QLinearAveragePool is AveragePool rounded to a grid, of one group: the sum of a window
// over the number of its elements, then over the scale, plus z, rounded, each in float32.
type QLinearAveragePool struct {
	AveragePool
	Out onnx.Grid
}

func (QLinearAveragePool) Name() string { return "QLinearAveragePool" }

// RoundsTo is the grid of the result.
func (o QLinearAveragePool) RoundsTo() onnx.Grid { return o.Out }

// Infer checks the geometry.
func (o QLinearAveragePool) Infer(in []Type) (Type, error) { return o.infer(in, ClassFloat32) }

func (o QLinearAveragePool) Forward(c *kernel.Context, out Array, in []Array) {
	w := o.mustWindow(in[0].Shape)
	counts := kernel.Scratch[float32](c, volume(w.out))
	defer kernel.Release(c, counts)
	averageCounts(&w, o.CountPads, counts)
	runPlanes(c, in[0].Shape, &w, quantisedAveraging{summing[float32]{w, Elem[float32](in[0]), Elem[float32](out)}, o.Out, counts})
}

type quantisedAveraging struct {
	summing[float32]
	grid   onnx.Grid
	counts []float32
}

func (t *quantisedAveraging) Chunk(_ *kernel.Context, lo, hi int) {
	for i := lo; i < hi; i++ {
		for j, sum := range t.plane(i) {
			t.y[i*len(t.counts)+j] = rounded(&t.grid, sum/t.counts[j]/t.grid.Scale[0], true)
		}
	}
}

// Gradient is that of FakeQuantize behind AveragePool.
func (o QLinearAveragePool) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	mean := g.Do(o.AveragePool, in[0])
	return o.AveragePool.Gradient(g, in, mean, FakeQuantize{o.Out}.Gradient(g, []*gorgonia.Node{mean}, nil, dout, nil)[0], need)
}
