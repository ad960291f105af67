//go:build gpu && linux && cgo

package kernels

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// mostLoops is the number of nested loops that the strided kernels take.
const mostLoops = 6

// loop is one of a nest of loops: its size and the steps of the operands along
// it, in elements.
type loop struct {
	size  int
	steps [mostOperands]int
}

// mostOperands is the number of operands that the strided kernels take.
const mostOperands = 3

// Nests reports whether the strided kernels take a nest of loops over a shape with
// operands of these strides: their loops are limited in number and reach.
func Nests(shape []int, strides ...[]int) bool {
	if _, err := product("", mostInt, shape...); err != nil {
		return false
	}
	_, err := newNest("", shape, strides...)
	return err == nil
}

// newNest plans the loops over a shape for operands with strides. Loops of size 1
// vanish, and neighbours along which all operands keep moving merge. The
// innermost is the last; there is at least one.
func newNest(kernel string, shape []int, strides ...[]int) ([]loop, error) {
	for _, s := range strides {
		if len(s) != len(shape) {
			return nil, fmt.Errorf("%s: strides %v for shape %v", kernel, s, shape)
		}
	}
	var loops []loop
	for i, n := range shape {
		if n == 1 {
			continue
		}
		l := loop{size: n}
		for j, s := range strides {
			l.steps[j] = s[i]
		}
		if k := len(loops) - 1; k >= 0 && loops[k].continues(l) {
			l.size *= loops[k].size
			loops[k] = l
			continue
		}
		loops = append(loops, l)
	}
	if len(loops) == 0 {
		loops = []loop{{1, [mostOperands]int{1, 1, 1}}}
	}
	if len(loops) > mostLoops {
		return nil, fmt.Errorf("%s: %v with strides %v takes more than %d loops", kernel, shape, strides, mostLoops)
	}
	for k := range strides {
		reach := 0
		for _, l := range loops {
			step := l.steps[k]
			if step < math.MinInt32 || step > math.MaxInt32 {
				return nil, fmt.Errorf("%s: stride %d", kernel, step)
			}
			reach += (l.size - 1) * max(step, -step)
		}
		if reach > mostInt {
			return nil, fmt.Errorf("%s: %v with strides %v spans more than %d elements", kernel, shape, strides[k], mostInt)
		}
	}
	return loops, nil
}

// continues reports whether all operands go on from an inner loop's end to where
// the next iteration of l begins.
func (l loop) continues(inner loop) bool {
	for k, step := range inner.steps {
		if l.steps[k] != step*inner.size {
			return false
		}
	}
	return true
}

// nestArguments are the parameters OUTER and STRIDES, one of each operand, of the
// strided kernels. Loops that are not there are the outermost, of size 1.
func nestArguments(operands int, outer []loop, inner loop) (rows int, args []driver.Arg) {
	var all [mostLoops - 1]loop
	for i := range all {
		all[i].size = 1
	}
	rows = 1
	for i, l := range outer {
		all[len(all)-len(outer)+i] = l
		rows *= l.size
	}
	for _, l := range all[1:] {
		args = append(args, ints(l.size)...)
	}
	for k := range operands {
		for _, l := range all {
			args = append(args, ints(l.steps[k])...)
		}
		args = append(args, ints(inner.steps[k])...)
	}
	return rows, args
}

// broadcastStrides returns the strides with which an array of a shape is read
// where it is broadcast to another, aligned at the last dimension.
func broadcastStrides(kernel string, shape, to []int) ([]int, error) {
	strides := make([]int, len(to))
	lead := len(to) - len(shape)
	for i, step := range shapes.RowMajor(shape) {
		switch {
		case lead < 0 || shape[i] != 1 && shape[i] != to[lead+i]:
			return nil, fmt.Errorf("%s: shape %v does not broadcast to %v", kernel, shape, to)
		case shape[i] != 1:
			strides[lead+i] = step
		}
	}
	return strides, nil
}
