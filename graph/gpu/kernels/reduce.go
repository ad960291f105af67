//go:build gpu && linux && cgo

package kernels

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// Fold says how a reduction combines elements.
type Fold string

// The folds.
const (
	Sum     Fold = "sum"
	Squares Fold = "squares" // the sum of squares
	Product Fold = "product"
	Largest Fold = "max"
	Least   Fold = "min"
)

// A stretch is what one warp, or one block of columns, combines: long runs are
// cut into at most mostStretches.
const (
	rowStretch    = 1 << 12
	columnStretch = 1 << 8
	mostStretches = 1 << 9
)

func stretchOf(run, inner int) int {
	least := rowStretch
	if inner > 1 {
		least = columnStretch
	}
	return max(least, blocksOf(run, mostStretches))
}

// A step of a reduction is over the middle of [outer, run, inner].
type reduceStep struct{ outer, run, inner int }

func (s reduceStep) partialBytes() int {
	return aligned(doubleBytes * s.outer * max(1, blocksOf(s.run, stretchOf(s.run, s.inner))) * s.inner)
}

// reduceSteps plans a reduction: one step for each group of neighbouring
// dimensions that are reduced, from the innermost outwards.
func reduceSteps(shape, axes []int) ([]reduceStep, error) {
	if _, err := product("reduce", mostBytes, shape...); err != nil {
		return nil, err
	}
	type group struct {
		size    int
		reduced bool
	}
	var groups []group
	for i, n := range shape {
		reduced := slices.Contains(axes, i)
		if k := len(groups) - 1; k >= 0 && groups[k].reduced == reduced {
			groups[k].size *= n
		} else {
			groups = append(groups, group{n, reduced})
		}
	}
	for _, a := range axes {
		if a < 0 || a >= len(shape) {
			return nil, fmt.Errorf("reduce: axis %d of %v", a, shape)
		}
	}
	var steps []reduceStep
	inner := 1
	for i := len(groups) - 1; i >= 0; i-- {
		if !groups[i].reduced {
			inner *= groups[i].size
			continue
		}
		outer := 1
		for _, g := range groups[:i] {
			outer *= g.size
		}
		steps = append(steps, reduceStep{outer, groups[i].size, inner})
	}
	if len(steps) == 0 { // nothing is reduced, but squared and scaled perhaps
		steps = []reduceStep{{1, 1, inner}}
	}
	return steps, nil
}

// ReduceWork is the scratch memory of Reduce, in bytes.
func ReduceWork(shape, axes []int) int64 {
	steps, err := reduceSteps(shape, axes)
	if err != nil {
		return 0 // Reduce says it
	}
	partial, between := 0, 0
	for i, s := range steps {
		partial = max(partial, s.partialBytes())
		if i < len(steps)-1 {
			between = max(between, aligned(floatBytes*s.outer*s.inner))
		}
	}
	return int64(partial + 2*between)
}

// Reduce combines the elements of x, of the given shape, along axes (ascending;
// none combines nothing), multiplies by scale and writes y, the kept dimensions'
// elements in order: 1 over the number of elements makes a mean. Elements are
// combined in float64, in an order that depends on the sizes only; where the
// reduced axes are not neighbours, results in between are float32.
func Reduce(q Queue, f Fold, x, y Array, shape, axes []int, scale float64, work driver.Ptr) error {
	steps, err := reduceSteps(shape, axes)
	if err != nil {
		return err
	}
	partial, between := 0, 0
	for i, s := range steps {
		partial = max(partial, s.partialBytes())
		if i < len(steps)-1 {
			between = max(between, aligned(floatBytes*s.outer*s.inner))
		}
	}
	for i, s := range steps {
		to, factor := y, scale
		if i < len(steps)-1 {
			to, factor = Float32(work+driver.Ptr(partial+i%2*between)), 1
		}
		if err := reduce(q, f, s, x, to, factor, work); err != nil {
			return err
		}
		x = to
		if f == Squares {
			f = Sum
		}
	}
	return nil
}

func reduce(q Queue, f Fold, s reduceStep, x, y Array, scale float64, work driver.Ptr) error {
	if s.outer*s.inner == 0 {
		return nil
	}
	stretch := stretchOf(s.run, s.inner)
	stretches := blocksOf(s.run, stretch)
	var err error
	switch {
	case stretches == 0: // the last step writes what nothing combines to
	case s.inner == 1:
		err = q.launch("reduce_rows_"+string(f), overWarps(s.outer*stretches), pointers(x.Data, work), longs(s.outer, s.run, stretch), formats(x))
	default:
		err = q.launch("reduce_columns_"+string(f), overTiles(s.inner, s.outer*stretches), pointers(x.Data, work), longs(s.outer, s.run, s.inner, stretch), formats(x))
	}
	if err != nil {
		return err
	}
	return q.launch("reduce_last_"+string(f), overElements(s.outer*s.inner), pointers(work, y.Data), longs(s.outer, stretches, s.inner), doubles(scale), formats(y))
}
