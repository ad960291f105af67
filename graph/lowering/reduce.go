package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// reduceEntries lists the Reduce operators. All take their axes from an attribute
// in older opsets and from input 1 in newer ones (ReduceSum from 13, the others
// from 18).
func reduceEntries() []Entry {
	return []Entry{
		reduceEntry("ReduceL1", func(e *emitter, x *op.Value, sum op.Reduce) *op.Value {
			return e.emit(sum, e.emit(op.Abs{}, x))
		}),
		reduceEntry("ReduceL2", reduceBy(op.ReduceL2)),
		reduceEntry("ReduceLogSum", func(e *emitter, x *op.Value, sum op.Reduce) *op.Value {
			return e.emit(op.Log{}, e.emit(sum, x))
		}),
		reduceEntry("ReduceLogSumExp", logSumExp),
		reduceEntry("ReduceMax", extremum(op.ReduceMax)),
		reduceEntry("ReduceMean", reduceBy(op.ReduceMean)),
		reduceEntry("ReduceMin", extremum(op.ReduceMin)),
		reduceEntry("ReduceProd", reduceBy(op.ReduceProd)),
		reduceEntry("ReduceSum", reduceBy(op.ReduceSum)),
		reduceEntry("ReduceSumSquare", func(e *emitter, x *op.Value, sum op.Reduce) *op.Value {
			return e.emit(sum, e.emit(op.Mul{}, x, x))
		}),
	}
}

// reduceFormula is the result of a Reduce operator; sum is the sum over its axes.
type reduceFormula func(e *emitter, x *op.Value, sum op.Reduce) *op.Value

func reduceEntry(name string, formula reduceFormula) Entry {
	return Entry{Name: name, Min: 7, Max: MaxOpset, Lower: func(c *Call) ([]*op.Value, error) {
		x, err := c.need(0)
		if err != nil {
			return nil, err
		}
		sum, err := sumOf(c, x.Type.Rank())
		if err != nil {
			return nil, err
		}
		e := &emitter{Call: c}
		v := formula(e, x, sum)
		return one(v, e.err)
	}}
}

// sumOf is the sum over the axes of a node, with its keepdims.
func sumOf(c *Call, rank int) (op.Reduce, error) {
	r := op.Reduce{By: op.ReduceSum, KeepDims: c.Node.Int("keepdims", 1) != 0}
	axes, err := c.intsFrom("axes", 1)
	if err != nil {
		return r, err
	}
	if len(axes) == 0 && c.Node.Int("noop_with_empty_axes", 0) == 0 {
		r.Axes = shapes.AxesFrom(0, rank)
		return r, nil
	}
	for _, a := range axes {
		if a < -int64(rank) || a >= int64(rank) {
			return r, fmt.Errorf("axis %d: expected %d to %d for an input of rank %d", a, -rank, rank-1, rank)
		}
		if a < 0 {
			a += int64(rank)
		}
		r.Axes = append(r.Axes, int(a))
	}
	slices.Sort(r.Axes)
	r.Axes = slices.Compact(r.Axes)
	return r, nil
}

func reduceBy(by op.Reduction) reduceFormula {
	return func(e *emitter, x *op.Value, r op.Reduce) *op.Value {
		r.By = by
		return e.emit(r, x)
	}
}

// extremum reduces truth values as the numbers 0 and 1.
func extremum(by op.Reduction) reduceFormula {
	return func(e *emitter, x *op.Value, r op.Reduce) *op.Value {
		if x.Type.DType != onnx.Bool {
			return reduceBy(by)(e, x, r)
		}
		return e.emit(op.Cast{To: onnx.Bool}, reduceBy(by)(e, e.emit(op.Cast{To: onnx.Uint8}, x), r))
	}
}

// logSumExp subtracts the maximum before it exponentiates. The maximum is held
// finite, so that infinities come out as such and not as NaN.
func logSumExp(e *emitter, x *op.Value, sum op.Reduce) *op.Value {
	kept := sum
	kept.KeepDims = true
	largest := e.emit(op.Clip{Min: -math.MaxFloat32, Max: math.MaxFloat32}, reduceBy(op.ReduceMax)(e, x, kept))
	result := e.emit(op.Add{}, e.emit(op.Log{}, e.emit(kept, e.emit(op.Exp{}, e.emit(op.Sub{}, x, largest)))), largest)
	if sum.KeepDims {
		return result
	}
	return e.emit(sum, result) // over dimensions of one element: drops them
}
