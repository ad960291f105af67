//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// product serves Linear and MatMul.
func product(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	switch o := s.op.(type) {
	case op.Linear:
		return linear(s, o)
	case op.MatMul:
		return matMul(s, o)
	}
	return nil
}

// multiplication is a batch of equal products, C ← alpha·A·B.
type multiplication struct {
	precision      driver.Precision
	batch, m, n, k int
	alpha          float32
	a, b, c        driver.Matrix // without addresses
}

// rowsOf is a matrix whose rows begin so many elements apart, as a factor.
func rowsOf(lead int, trans, bfloat16 bool) driver.Matrix {
	return driver.Matrix{Lead: lead, Trans: trans, BFloat16: bfloat16}
}

func (p multiplication) work() int64 {
	return kernels.MultiplyWork(p.precision, p.batch, p.m, p.n, p.k, p.a, p.b)
}

func (p multiplication) run(q kernels.Queue, a, b, c, work driver.Ptr) error {
	if p.batch*p.m*p.n == 0 {
		return nil
	}
	if p.k == 0 { // the factors have no elements
		return q.Clear(c, arrayOf(p.c).Bytes((p.batch-1)*int(p.c.Stride)+p.m*p.n))
	}
	p.a.Data, p.b.Data, p.c.Data = a, b, c
	return kernels.Multiply(q, p.precision, p.batch, p.m, p.n, p.k, p.alpha, p.a, p.b, 0, p.c, work)
}

// arrayOf is the array of which a matrix is a part.
func arrayOf(m driver.Matrix) kernels.Array { return kernels.Array{Data: m.Data, BFloat16: m.BFloat16} }

func (p multiplication) addWork() int64 {
	return kernels.MultiplyAddWork(p.precision, p.m, p.n, p.k, p.a, p.b)
}

// add is run for one matrix and with what is added to it: a row, and a matrix, or
// none where they have no address.
func (p multiplication) add(q kernels.Queue, a, b, bias driver.Ptr, residual, y kernels.Array, work driver.Ptr) error {
	p.a.Data, p.b.Data = a, b
	return kernels.MultiplyAdd(q, p.precision, p.m, p.n, p.k, p.a, p.b, bias, residual, y, work)
}

func linear(s site, o op.Linear) *launch {
	if s.isBFloat16(2) { // a bias is float32
		return nil
	}
	p := linearProduct(s, o)
	return &launch{p.addWork(), func(c call) error {
		return p.add(c.Queue, c.in[0].Data, c.in[1].Data, c.optional(2), kernels.Array{}, c.out, c.work)
	}}
}

// linearAdd serves exec.LinearAdd, whose last operand is added to the result.
func linearAdd(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	last := len(s.in) - 1
	if last == 3 && s.isBFloat16(2) { // a bias is float32
		return converted(s, linearAdd)
	}
	p := linearProduct(s, s.op.(op.Linear))
	return &launch{p.addWork(), func(c call) error {
		residual := c.in[last]
		c.in = c.in[:last]
		return p.add(c.Queue, c.in[0].Data, c.in[1].Data, c.optional(2), residual, c.out, c.work)
	}}
}

func linearProduct(s site, o op.Linear) multiplication {
	weight := s.in[1].Shape
	features, width := weight[0], weight[1]
	if o.TransW {
		features, width = width, features
	}
	rows := shapes.Elements(s.out.Shape[:s.out.Rank()-1])
	return multiplication{s.precision, 1, rows, width, features, 1, rowsOf(features, false, s.isBFloat16(0)),
		rowsOf(weight[1], o.TransW, s.isBFloat16(1)), rowsOf(width, false, s.outBFloat16)}
}

func matMul(s site, o op.MatMul) *launch {
	split := func(shape []int, trans bool) (stack []int, rows, columns, lead int) {
		r := len(shape) - 2
		rows, columns, lead = shape[r], shape[r+1], shape[r+1]
		if trans {
			rows, columns = columns, rows
		}
		return shape[:r], rows, columns, lead
	}
	stackA, m, k, leadA := split(s.in[0].Shape, o.TransA)
	stackB, _, n, leadB := split(s.in[1].Shape, o.TransB)
	alpha := float32(o.Alpha)
	if alpha == 0 {
		alpha = 1
	}
	p := multiplication{s.precision, 1, m, n, k, alpha, rowsOf(leadA, o.TransA, s.isBFloat16(0)),
		rowsOf(leadB, o.TransB, s.isBFloat16(1)), rowsOf(n, false, s.outBFloat16)}
	if !o.TransA && shapes.Elements(stackB) == 1 { // one product over all rows
		p.m *= shapes.Elements(stackA)
		return &launch{p.work(), func(c call) error { return p.run(c.Queue, c.in[0].Data, c.in[1].Data, c.out.Data, c.work) }}
	}
	stack := s.out.Shape[:s.out.Rank()-2]
	size, stepsA, stepsB := batches(stack, stackA, stackB)
	// The innermost loop is the batch of a product, the others are run here.
	last := len(size) - 1
	p.batch = size[last]
	p.a.Stride, p.b.Stride, p.c.Stride = int64(stepsA[last]*m*k), int64(stepsB[last]*k*n), int64(m*n)
	return &launch{p.work(), func(c call) error {
		index := make([]int, last)
		for i := range shapes.Elements(size[:last]) {
			a, b := 0, 0
			for j, x := range index {
				a, b = a+x*stepsA[j], b+x*stepsB[j]
			}
			x, y, z := c.in[0].From(a*m*k), c.in[1].From(b*k*n), c.out.From(i*p.batch*m*n)
			if err := p.run(c.Queue, x.Data, y.Data, z.Data, c.work); err != nil {
				return err
			}
			for j := last - 1; j >= 0; j-- {
				if index[j]++; index[j] < size[j] {
					break
				}
				index[j] = 0
			}
		}
		return nil
	}}
}

// batches plans the loops over a stack of matrices to which the stacks a and b
// broadcast: sizes, outermost first, and the operands' steps in matrices. There
// is at least one.
func batches(stack, a, b []int) (size, stepsA, stepsB []int) {
	size, stepsA, stepsB = []int{1}, []int{0}, []int{0}
	strideA, strideB := broadcastStrides(a, stack), broadcastStrides(b, stack)
	for i, n := range stack {
		last := len(size) - 1
		switch {
		case n == 1:
		case size[last] == 1: // the placeholder
			size[last], stepsA[last], stepsB[last] = n, strideA[i], strideB[i]
		case stepsA[last] == n*strideA[i] && stepsB[last] == n*strideB[i]:
			size[last], stepsA[last], stepsB[last] = size[last]*n, strideA[i], strideB[i]
		default:
			size, stepsA, stepsB = append(size, n), append(stepsA, strideA[i]), append(stepsB, strideB[i])
		}
	}
	return size, stepsA, stepsB
}
