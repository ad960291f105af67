package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// reduceEntries lists the Reduce operators. All take their axes from an attribute
// in older opsets and from input 1 in newer ones (ReduceSum from 13, the others
// from 18).
func reduceEntries() []Entry {
	var entries []Entry
	for name, formula := range map[string]func(e *emitter, x *op.Value, r reduction) *op.Value{
		"ReduceSum":  func(e *emitter, x *op.Value, r reduction) *op.Value { return e.emit(op.ReduceSum(r), x) },
		"ReduceMean": func(e *emitter, x *op.Value, r reduction) *op.Value { return e.emit(op.ReduceMean(r), x) },
		"ReduceProd": func(e *emitter, x *op.Value, r reduction) *op.Value { return e.emit(op.ReduceProd(r), x) },
		"ReduceL2":   func(e *emitter, x *op.Value, r reduction) *op.Value { return e.emit(op.ReduceL2(r), x) },
		"ReduceMax":  func(e *emitter, x *op.Value, r reduction) *op.Value { return extremum(e, op.ReduceMax(r), x) },
		"ReduceMin":  func(e *emitter, x *op.Value, r reduction) *op.Value { return extremum(e, op.ReduceMin(r), x) },
		"ReduceL1": func(e *emitter, x *op.Value, r reduction) *op.Value {
			return e.emit(op.ReduceSum(r), e.emit(op.Abs{}, x))
		},
		"ReduceSumSquare": func(e *emitter, x *op.Value, r reduction) *op.Value {
			return e.emit(op.ReduceSum(r), e.emit(op.Mul{}, x, x))
		},
		"ReduceLogSum": func(e *emitter, x *op.Value, r reduction) *op.Value {
			return e.emit(op.Log{}, e.emit(op.ReduceSum(r), x))
		},
		"ReduceLogSumExp": logSumExp,
	} {
		entries = append(entries, Entry{Name: name, Min: 7, Max: MaxOpset, Lower: func(c *Call) ([]*op.Value, error) {
			x, err := c.Need(0)
			if err != nil {
				return nil, err
			}
			r, err := reductionOf(c, x.Type.Rank())
			if err != nil {
				return nil, err
			}
			e := &emitter{Call: c}
			v := formula(e, x, r)
			return one(v, e.err)
		}})
	}
	return entries
}

// reduction holds the parameters that all reductions have.
type reduction struct {
	Axes     []int
	KeepDims bool
}

// reductionOf reads the axes and keepdims of a node.
func reductionOf(c *Call, rank int) (reduction, error) {
	r := reduction{KeepDims: c.Node.Int("keepdims", 1) != 0}
	axes, err := c.IntsFrom("axes", 1)
	if err != nil {
		return r, err
	}
	if len(axes) == 0 && c.Node.Int("noop_with_empty_axes", 0) == 0 {
		for a := range rank {
			r.Axes = append(r.Axes, a)
		}
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

// extremum reduces truth values as the numbers 0 and 1.
func extremum(e *emitter, o op.Op, x *op.Value) *op.Value {
	if x.Type.DType == onnx.Bool {
		return e.emit(op.Cast{To: onnx.Bool}, e.emit(o, e.emit(op.Cast{To: onnx.Uint8}, x)))
	}
	return e.emit(o, x)
}

// logSumExp subtracts the maximum before it exponentiates. The maximum is held
// finite, so that infinities come out as such and not as NaN.
func logSumExp(e *emitter, x *op.Value, r reduction) *op.Value {
	kept := reduction{r.Axes, true}
	largest := e.emit(op.Clip{Min: -math.MaxFloat32, Max: math.MaxFloat32}, e.emit(op.ReduceMax(kept), x))
	sum := e.emit(op.ReduceSum(kept), e.emit(op.Exp{}, e.emit(op.Sub{}, x, largest)))
	result := e.emit(op.Add{}, e.emit(op.Log{}, sum), largest)
	if r.KeepDims {
		return result
	}
	return e.emit(op.ReduceSum(r), result) // over dimensions of one element: drops them
}
