//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// site is an operation at one place, where all types are known.
type site struct {
	op        op.Op
	out       op.Type
	in        []op.Type
	bfloat16  []bool // which operands are held so: factors of products
	precision driver.Precision
}

// launch puts an operation's work into a queue.
type launch struct {
	work int64 // scratch memory, in bytes
	run  func(c call) error
}

// call is where a launch runs, and on what.
type call struct {
	kernels.Queue
	out  driver.Ptr
	in   []driver.Ptr
	work driver.Ptr
}

// families choose the launches of the operations that they know, and answer nil
// for others, and where an operation's types have no kernel.
var families = []func(s site) *launch{
	product, normalization, softmax, attention, patches, convolution, pooling, unary, binary, reduction, layout, gather,
	logic, loss,
}

// launchOf returns how the device computes an operation, nil where it cannot.
func launchOf(s site) *launch {
	for _, family := range families {
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

// rounded is a launch whose result, a factor of products, is bfloat16: l's where no
// kernel rounds what it writes itself.
func rounded(s site, l *launch) *launch {
	n := s.out.Elements()
	if m, axis, ok := momentsOf(s.op); ok {
		rows, d := rowsFrom(s.out.Shape, axis)
		return &launch{0, func(c call) error {
			return kernels.NormalizeToBFloat16(c.Queue, m, c.in[0], c.in[1], c.optional(2), c.out, rows, d)
		}}
	}
	of := s.op
	gradient, isGradient := of.(op.PointwiseGradient)
	if isGradient {
		of = gradient.Of
	}
	switch f, a, b := functionOf(of); f {
	case kernels.GELU, kernels.GELUTanh, kernels.QuickGELU:
		return &launch{0, func(c call) error {
			if isGradient {
				return kernels.UnaryGradToBFloat16(c.Queue, f, c.in[0], c.in[1], c.out, n, a, b)
			}
			return kernels.UnaryToBFloat16(c.Queue, f, c.in[0], c.out, n, a, b)
		}}
	}
	result := aligned(l.work)
	return &launch{result + int64(floatBytes*n), func(c call) error {
		y := c.out
		c.out = c.work + driver.Ptr(result)
		if err := l.run(c); err != nil {
			return err
		}
		return kernels.ToBFloat16(c.Queue, c.out, y, n)
	}}
}

// factor is operand i as a factor of a product.
func (s site) factor(i, lead int, trans bool) kernels.Factor {
	f := rowsOf(lead, trans)
	f.BFloat16 = s.holdsBFloat16(i)
	return f
}

func (s site) holdsBFloat16(i int) bool { return i < len(s.bfloat16) && s.bfloat16[i] }

// optional is the address of operand i, 0 where it is absent.
func (c call) optional(i int) driver.Ptr {
	if i < len(c.in) {
		return c.in[i]
	}
	return 0
}

// floats reports whether all types are held as float32.
func floats(types ...op.Type) bool {
	for _, t := range types {
		if op.ClassOf(t.DType) != op.ClassFloat32 {
			return false
		}
	}
	return true
}

// allFloats reports whether result and operands are held as float32.
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

const floatBytes = 4

// at is the address of element i of an array of float32.
func at(p driver.Ptr, i int) driver.Ptr { return p + driver.Ptr(floatBytes*i) }

// aligned rounds bytes of scratch memory up, so that what follows is aligned.
func aligned(bytes int64) int64 { return (bytes + 255) &^ 255 }
