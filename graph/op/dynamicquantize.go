package op

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// FakeDynamicQuantize is DynamicQuantizeLinear followed by DequantizeLinear: it rounds
// x to the 256 values of a UINT8 grid that spans its range and zero, as the ONNX
// operator specification defines it. Groups parts of equal size, one after the other,
// have a grid each: where the first dimension is the batch, one for each image, so that
// what a network makes of an image does not depend on the others. (A runtime that is
// given a batch takes one grid for all of it.)
//
// No value lies beyond the grid. The gradient is the straight-through estimator of
// [FakeQuantize], with the grid held fixed.
type FakeDynamicQuantize struct{ Groups int }

func (FakeDynamicQuantize) Name() string { return "FakeDynamicQuantize" }

// Infer returns the type of x.
func (o FakeDynamicQuantize) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 1, ClassFloat32, ClassFloat64)
	if err == nil && (o.Groups < 1 || t.Elements()%o.Groups != 0) {
		err = fmt.Errorf("%v cannot be divided into %d groups", t, o.Groups)
	}
	return t, err
}

// Forward rounds each group to its grid.
func (o FakeDynamicQuantize) Forward(c *kernel.Context, out Array, in []Array) {
	switch y := out.Data.(type) {
	case []float32:
		fakeDynamicQuantize(c, o.Groups, Elem[float32](in[0]), y)
	case []float64:
		fakeDynamicQuantize(c, o.Groups, Elem[float64](in[0]), y)
	}
}

func fakeDynamicQuantize[T kernel.Float](c *kernel.Context, groups int, x, y []T) {
	size := len(x) / groups
	c.Parallel(groups, kernel.Grain(size), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			part := x[k*size : (k+1)*size]
			g := dynamicGrid(part)
			for i, v := range part {
				q, _ := g.Quantize(float32(v), 0)
				y[k*size+i] = T(g.Value(q, 0))
			}
		}
	})
}

// dynamicGrid is the grid of DynamicQuantizeLinear for some values. For values that are
// all zero any scale does.
func dynamicGrid[T kernel.Float](x []T) onnx.Grid {
	var least, most float32
	for _, v := range x {
		least, most = min(least, float32(v)), max(most, float32(v))
	}
	scale := (most - least) / 255
	if scale == 0 {
		scale = 1
	}
	zero := math.RoundToEven(float64(-least / scale))
	return onnx.Grid{DType: onnx.Uint8, Float: onnx.Float, Axis: -1, Scale: []float32{scale}, Zero: []int64{int64(max(0, min(255, zero)))}}
}

// Gradient passes the cotangent on.
func (FakeDynamicQuantize) Gradient(_ *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{dout}
}

// DynamicProduct makes a product, y, of what FakeDynamicQuantize makes of x, and of a
// weight what it is as a product of integers: a whole number of steps, each the scale
// of x's grid times that of the weight, multiplied by it in float32, as ONNX Runtime
// 1.32 does. Scale is one number or one for each index of Axis. The next grid is taken
// from such results, so that their last bits matter. The gradient is y's.
type DynamicProduct struct {
	Groups int // of x and y, see [FakeDynamicQuantize]
	Scale  []float32
	Axis   int // of y
}

func (DynamicProduct) Name() string { return "DynamicProduct" }

// Infer returns the type of y.
func (o DynamicProduct) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 2, ClassFloat32)
	for _, part := range in {
		if err == nil && (o.Groups < 1 || part.Elements()%o.Groups != 0) {
			err = fmt.Errorf("%v cannot be divided into %d groups", part, o.Groups)
		}
	}
	return t, err
}

// apart is how far from a whole number of steps a product of integers that was computed
// in floats may be. What is farther is one of a weight off its grid, and stays.
const apart = 1. / 8

func (o DynamicProduct) Forward(c *kernel.Context, out Array, in []Array) {
	y, x, to := Elem[float32](in[0]), Elem[float32](in[1]), Elem[float32](out)
	along := onnx.Grid{Axis: -1}
	if len(o.Scale) > 1 {
		along.Axis = o.Axis
	}
	index := along.Groups(out.Shape)
	size, from := len(y)/o.Groups, len(x)/o.Groups
	c.Parallel(o.Groups, kernel.Grain(size+from), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			g := dynamicGrid(x[k*from : (k+1)*from])
			for i := k * size; i < (k+1)*size; i++ {
				to[i] = y[i]
				step := g.Scale[0] * o.Scale[index(i)]
				n := float64(y[i]) / (float64(g.Scale[0]) * float64(o.Scale[index(i)]))
				if whole := math.RoundToEven(n); math.Abs(n-whole) <= apart {
					to[i] = float32(whole) * step
				}
			}
		}
	})
}

// Gradient passes the cotangent on to y.
func (DynamicProduct) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = dout
	}
	if need[1] {
		grads[1] = g.Do(Zero{}, in[1])
	}
	return grads
}
