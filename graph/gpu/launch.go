//go:build gpu && linux && cgo

package gpu

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// site is an operation at one place, where all types are known, and which arrays
// are held in bfloat16.
type site struct {
	op          op.Op
	out         op.Type
	in          []op.Type
	bfloat16    []bool // operands
	outBFloat16 bool
	precision   driver.Precision
}

// launch puts an operation's work into a queue.
type launch struct {
	work int64 // scratch memory, in bytes
	run  func(c call) error
}

// call is where a launch runs, and on what.
type call struct {
	kernels.Queue
	out  kernels.Array
	in   []kernels.Array
	work driver.Ptr
}

// Families choose the launches of the operations that they know, and answer nil
// for others, and where an operation's types have no kernel. Some have kernels for
// what is held in bfloat16, too; the others read no formats.
var (
	mixedFamilies = []func(s site) *launch{
		product, normalization, softmax, attention, patches, unary, binary, reduction, layout, gather,
	}
	float32Families = []func(s site) *launch{convolution, pooling, logic, loss}
)

// launchOf returns how the device computes an operation, nil where it cannot: where
// it has no kernel for what is held in bfloat16, in float32 between two conversions.
func launchOf(s site) *launch {
	for _, family := range mixedFamilies {
		if l := family(s); l != nil {
			return l
		}
	}
	if s.anyBFloat16() {
		return converted(s, launchOf)
	}
	for _, family := range float32Families {
		if l := family(s); l != nil {
			return l
		}
	}
	return nil
}

// HasKernel reports whether the device itself computes an operation with operands
// and a result of these types. Others run on the host between two copies.
func HasKernel(o op.Op, out op.Type, in ...op.Type) bool {
	if _, ok := o.(op.View); ok {
		return true
	}
	return launchOf(site{op: o, out: out, in: in}) != nil
}

// converted is in float32 what there is no launch of with bfloat16.
func converted(s site, launchOf func(site) *launch) *launch {
	wide := s
	wide.bfloat16, wide.outBFloat16 = nil, false
	l := launchOf(wide)
	if l == nil {
		return nil
	}
	work := aligned(l.work)
	places := make([]int64, len(s.in)+1) // of copies, in the scratch memory
	for i, t := range append(s.in[:len(s.in):len(s.in)], s.out) {
		places[i] = work
		if i == len(s.in) && s.outBFloat16 || s.isBFloat16(i) {
			work += aligned(bytesOf(t))
		}
	}
	return &launch{work, func(c call) error {
		in := make([]kernels.Array, len(c.in))
		for i, x := range c.in {
			in[i] = x
			if x.BFloat16 {
				in[i] = kernels.Float32(c.work + driver.Ptr(places[i]))
				if err := kernels.Convert(c.Queue, x, in[i], s.in[i].Elements()); err != nil {
					return err
				}
			}
		}
		y := c.out
		if y.BFloat16 {
			c.out = kernels.Float32(c.work + driver.Ptr(places[len(s.in)]))
		}
		c.in = in
		if err := l.run(c); err != nil || !y.BFloat16 {
			return err
		}
		return kernels.Convert(c.Queue, c.out, y, s.out.Elements())
	}}
}

// isBFloat16 reports whether one of some operands, those that there are, is so held.
func (s site) isBFloat16(operands ...int) bool {
	return slices.ContainsFunc(operands, func(i int) bool { return i < len(s.bfloat16) && s.bfloat16[i] })
}

func (s site) anyBFloat16() bool { return s.outBFloat16 || slices.Contains(s.bfloat16, true) }

// optional is the address of operand i, 0 where it is absent.
func (c call) optional(i int) driver.Ptr {
	if i < len(c.in) {
		return c.in[i].Data
	}
	return 0
}

// floats reports whether all types are held as float32, or rounded.
func floats(types ...op.Type) bool {
	for _, t := range types {
		if op.ClassOf(t.DType) != op.ClassFloat32 {
			return false
		}
	}
	return true
}

// allFloats reports whether result and operands are held as float32, or rounded.
func (s site) allFloats() bool { return floats(s.out) && floats(s.in...) }

// broadcasts reports whether the strided kernels take operands of these shapes,
// broadcast to another.
func broadcasts(to []int, operands ...[]int) bool {
	strides := make([][]int, len(operands))
	for i, shape := range operands {
		strides[i] = broadcastStrides(shape, to)
	}
	return kernels.Nests(to, strides...)
}

// broadcastStrides are the strides with which an array of a shape is read where
// it is broadcast to another.
func broadcastStrides(shape, to []int) []int {
	strides, lead := make([]int, len(to)), len(to)-len(shape)
	for i, step := range shapes.RowMajor(shape) {
		if shape[i] != 1 {
			strides[lead+i] = step
		}
	}
	return strides
}

const (
	floatBytes    = 4
	bfloat16Bytes = 2
)

// at is the address of element i of an array of float32.
func at(p driver.Ptr, i int) driver.Ptr { return kernels.Float32(p).From(i).Data }

// aligned rounds bytes of scratch memory up, so that what follows is aligned.
func aligned(bytes int64) int64 { return (bytes + 255) &^ 255 }
