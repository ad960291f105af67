package op

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Reduction says how [Reduce] combines elements.
type Reduction uint8

// The reductions, named as the ONNX operators.
const (
	ReduceSum  Reduction = iota
	ReduceMean           // of integers, truncated toward zero
	ReduceL2             // the square root of the sum of squares
	ReduceProd
	ReduceMax // of no elements, the least value of the type
	ReduceMin // of no elements, the greatest value of the type
)

// reductionColumns is the number of adjacent results that one task of a
// reduction accumulates side by side when the last dimension is kept.
const reductionColumns = 256

// nest is a reduction as loops: over the results' rows, over the rows that are
// combined, and along contiguous elements, which are either one row of columns
// that are all kept or one run that is combined.
type nest struct {
	rows     loops // over rows of results; the operand is the input
	combined loops // over the input's rows that are combined into one row of results
	columns  int   // contiguous results, 1 where the last dimension is reduced
	run      int   // contiguous combined elements, 1 where the last dimension is kept
}

// newNest plans the reduction of an input of the given shape over the
// dimensions where reduce is true.
func newNest(shape []int, reduce []bool) nest {
	n := nest{rows: loops{operands: 1}, combined: loops{operands: 1}, columns: 1, run: 1}
	step := 1
	first := true // still in the innermost group of alike dimensions
	var innermost bool
	for i := len(shape) - 1; i >= 0; i-- {
		d := shape[i]
		if d == 1 {
			continue
		}
		if step == 1 {
			innermost = reduce[i]
		}
		first = first && reduce[i] == innermost
		switch {
		case first && innermost:
			n.run *= d
		case first:
			n.columns *= d
		case reduce[i]:
			n.combined.size.add(d)
			n.combined.stride[0].add(step)
		default:
			n.rows.size.add(d)
			n.rows.stride[0].add(step)
		}
		step *= d
	}
	n.rows.complete(0)
	n.combined.complete(0)
	return n
}

// reduce computes out by combining the elements of in over the dimensions where
// axes is true. Floats are accumulated in float64, always in the order of the
// array.
func reduce(c *kernel.Context, by Reduction, out, in Array, axes []bool) {
	n := newNest(in.Shape, axes)
	switch y := out.Data.(type) {
	case []float32:
		if (by == ReduceSum || by == ReduceMean) && n.run == 1 && n.rows.elements() == 1 {
			kernel.SumRows(c, Elem[float32](in), y, n.combined.elements(), n.columns)
			return
		}
		reduceNest(c, n, y, Elem[float32](in), by, floatIdentity(by))
	case []float64:
		reduceNest(c, n, y, Elem[float64](in), by, floatIdentity(by))
	case []int64:
		reduceNest(c, n, y, Elem[int64](in), by, intIdentity(by, out.DType))
		Wrap(out.DType, y)
	}
}

// summedByKernel is the length from which on a run of float32 is summed by a kernel.
const summedByKernel = 64

// reduceNest runs the loops: A is the type results are accumulated in.
func reduceNest[T Number, A float64 | int64](c *kernel.Context, n nest, y, x []T, by Reduction, identity A) {
	if len(y) == 0 {
		return
	}
	offsets := kernel.Scratch[int](c, n.combined.elements())
	defer kernel.Release(c, offsets)
	for i := range offsets {
		offsets[i] = n.combined.offset(i)
	}
	blocks := (n.columns + reductionColumns - 1) / reductionColumns
	rows := n.rows.elements()
	kernel.Run(c, rows*blocks, kernel.Grain(len(x)/(rows*blocks)), reducing[T, A]{n, offsets, blocks, y, x, by, identity})
}

type reducing[T Number, A float64 | int64] struct {
	nest
	offsets  []int // of the rows that are combined
	blocks   int   // of the columns
	y, x     []T
	by       Reduction
	identity A
}

func (t *reducing[T, A]) Chunk(_ *kernel.Context, lo, hi int) {
	x32, sums := any(t.x).([]float32)
	sums = sums && (t.by == ReduceSum || t.by == ReduceMean) && t.columns == 1 && t.run >= summedByKernel
	var buffer [reductionColumns]A
	for task := lo; task < hi; task++ {
		row, first := task/t.blocks, task%t.blocks*reductionColumns
		width := min(reductionColumns, t.columns-first)
		base := t.rows.offset(row) + first
		acc := buffer[:width]
		for i := range acc {
			acc[i] = t.identity
		}
		for _, offset := range t.offsets {
			at := base + offset
			if sums {
				acc[0] += A(kernel.Sum(x32[at : at+t.run]))
			} else if t.columns == 1 {
				acc[0] = foldRun(t.by, acc[0], t.x[at:at+t.run])
			} else {
				foldColumns(t.by, acc, t.x[at:at+width])
			}
		}
		for i, v := range acc {
			t.y[row*t.columns+first+i] = T(v)
		}
	}
}

// elements is the number of iterations of the whole nest.
func (l *loops) elements() int { return shapes.Elements(l.size.all()) }

// offset is the first operand's offset at the given iteration.
func (l *loops) offset(iteration int) int {
	at := 0
	for i := l.size.n - 1; i >= 0; i-- {
		at += iteration % l.size.at[i] * l.stride[0].at[i]
		iteration /= l.size.at[i]
	}
	return at
}

// foldRun combines a contiguous run into acc.
func foldRun[T Number, A float64 | int64](by Reduction, acc A, x []T) A {
	switch by {
	case ReduceSum, ReduceMean:
		// Four sums side by side: one addition would wait for the other.
		var s0, s1, s2, s3 A
		i := 0
		for ; i+4 <= len(x); i += 4 {
			v := x[i : i+4 : i+4]
			s0 += A(v[0])
			s1 += A(v[1])
			s2 += A(v[2])
			s3 += A(v[3])
		}
		for ; i < len(x); i++ {
			s0 += A(x[i])
		}
		acc += (s0 + s1) + (s2 + s3)
	case ReduceL2:
		for _, v := range x {
			acc += A(v) * A(v)
		}
	case ReduceProd:
		for _, v := range x {
			acc *= A(v)
		}
	case ReduceMax:
		for _, v := range x {
			acc = max(acc, A(v))
		}
	case ReduceMin:
		for _, v := range x {
			acc = min(acc, A(v))
		}
	}
	return acc
}

// foldColumns combines one row of columns into their accumulators.
func foldColumns[T Number, A float64 | int64](by Reduction, acc []A, x []T) {
	x = x[:len(acc)]
	switch by {
	case ReduceSum, ReduceMean:
		for i, v := range x {
			acc[i] += A(v)
		}
	case ReduceL2:
		for i, v := range x {
			acc[i] += A(v) * A(v)
		}
	case ReduceProd:
		for i, v := range x {
			acc[i] *= A(v)
		}
	case ReduceMax:
		for i, v := range x {
			acc[i] = max(acc[i], A(v))
		}
	case ReduceMin:
		for i, v := range x {
			acc[i] = min(acc[i], A(v))
		}
	}
}

func floatIdentity(by Reduction) float64 {
	switch by {
	case ReduceProd:
		return 1
	case ReduceMax:
		return math.Inf(-1)
	case ReduceMin:
		return math.Inf(1)
	}
	return 0
}

// intIdentity is what a reduction of no integers gives: for the maximum the
// least value of the type.
func intIdentity(by Reduction, t onnx.DType) int64 {
	if by != ReduceMax && by != ReduceMin {
		return int64(floatIdentity(by))
	}
	least, greatest := intRange(t)
	if by == ReduceMax {
		return least
	}
	return greatest
}

// intRange returns the least and the greatest value of an integer type.
func intRange(t onnx.DType) (least, greatest int64) {
	switch t {
	case onnx.Int8:
		return math.MinInt8, math.MaxInt8
	case onnx.Int16:
		return math.MinInt16, math.MaxInt16
	case onnx.Int32:
		return math.MinInt32, math.MaxInt32
	case onnx.Uint8:
		return 0, math.MaxUint8
	case onnx.Uint16:
		return 0, math.MaxUint16
	case onnx.Uint32:
		return 0, math.MaxUint32
	case onnx.Uint64:
		return 0, math.MaxInt64
	}
	return math.MinInt64, math.MaxInt64
}
