package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

func matMulEntries() []Entry {
	return []Entry{
		{Name: "MatMul", Min: 1, Max: MaxOpset, Lower: lowerMatMul},
		{Name: "Gemm", Min: 7, Max: MaxOpset, Lower: lowerGemm, Limit: "alpha 0 is refused"},
		{Domain: microsoft, Name: "FusedGemm", Min: 1, Max: 1, Lower: lowerFusedGemm}, // with the activation that follows
		{Domain: microsoft, Name: "FusedMatMul", Min: 1, Max: 1, Lower: lowerFusedMatMul},
		{Domain: microsoft, Name: "TransposeMatMul", Min: 1, Max: 1, Lower: lowerFusedMatMul}, // the older name
	}
}

// lowerMatMul: as in NumPy, a vector is a row on the left and a column on the
// right, and that dimension is dropped from the result.
func lowerMatMul(c *Call) ([]*op.Value, error) { return multiply(c, op.MatMul{}) }

func multiply(c *Call, o op.MatMul) ([]*op.Value, error) {
	e := &emitter{Call: c}
	a, b := e.input(0), e.input(1)
	if e.err != nil {
		return nil, e.err
	}
	row, column := a.Type.Rank() == 1, b.Type.Rank() == 1
	if row {
		a = e.emit(op.Reshape{Shape: []int{1, a.Type.Shape[0]}}, a)
	}
	if column {
		b = e.emit(op.Reshape{Shape: []int{b.Type.Shape[0], 1}}, b)
	}
	y := e.emit(o, a, b)
	if e.err == nil && (row || column) {
		shape := slices.Clone(y.Type.Shape)
		if column {
			shape = shape[:len(shape)-1]
		}
		if row {
			i := y.Type.Rank() - 2
			shape = slices.Delete(shape, i, i+1)
		}
		y = e.emit(op.Reshape{Shape: shape}, y)
	}
	return one(y, e.err)
}

// lowerFusedMatMul: trans swaps the last two dimensions, transBatch moves the
// first one before the last.
func lowerFusedMatMul(c *Call) ([]*op.Value, error) {
	in := slices.Clone(c.In)
	for i, name := range []string{"transBatchA", "transBatchB"} {
		v, err := c.need(i)
		if err != nil {
			return nil, err
		}
		if rank := v.Type.Rank(); c.Node.Int(name, 0) != 0 && rank > 2 {
			perm := make([]int, 0, rank)
			for d := 1; d < rank-1; d++ {
				perm = append(perm, d)
			}
			if in[i], err = c.Emit(op.Transpose{Perm: append(perm, 0, rank-1)}, v); err != nil {
				return nil, err
			}
		}
	}
	alpha := c.attribute("alpha", 1)
	if alpha == 0 {
		return nil, fmt.Errorf("alpha 0 is not supported")
	}
	o := op.MatMul{TransA: c.Node.Int("transA", 0) != 0 && in[0].Type.Rank() > 1, TransB: c.Node.Int("transB", 0) != 0 && in[1].Type.Rank() > 1}
	if alpha != 1 {
		o.Alpha = alpha
	}
	moved := *c
	moved.In = in
	return multiply(&moved, o)
}

// lowerGemm: alpha·A·B + beta·C is a Linear where it has a linear layer's form.
func lowerGemm(c *Call) ([]*op.Value, error) {
	e := &emitter{Call: c}
	a, b, bias := e.input(0), e.input(1), c.arg(2)
	if e.err != nil {
		return nil, e.err
	}
	alpha, beta := c.attribute("alpha", 1), c.attribute("beta", 1)
	transA, transB := c.Node.Int("transA", 0) != 0, c.Node.Int("transB", 0) != 0
	switch {
	case a.Type.Rank() != 2 || b.Type.Rank() != 2:
		return nil, fmt.Errorf("expected two matrices, found %v and %v", a.Type, b.Type)
	case alpha == 0:
		return nil, fmt.Errorf("alpha 0 is not supported")
	case beta == 0:
		bias = nil
	}
	if alpha == 1 && !transA && op.ClassOf(a.Type.DType) != op.ClassInt {
		width := b.Type.Shape[1]
		if transB {
			width = b.Type.Shape[0]
		}
		if bias == nil {
			return one(c.Emit(op.Linear{TransW: transB}, a, b))
		}
		if beta == 1 && slices.Equal(bias.Type.Shape, []int{width}) {
			return one(c.Emit(op.Linear{TransW: transB}, a, b, bias))
		}
	}
	o := op.MatMul{TransA: transA, TransB: transB}
	if alpha != 1 {
		o.Alpha = alpha
	}
	y := e.emit(o, a, b)
	if bias != nil {
		if beta != 1 {
			bias = e.emit(op.Mul{}, bias, e.scalar(bias, beta))
		}
		y = e.emit(op.Add{}, y, bias)
	}
	return one(y, e.err)
}

func lowerFusedGemm(c *Call) ([]*op.Value, error) {
	y, err := lowerGemm(c)
	if err != nil {
		return nil, err
	}
	e := &emitter{Call: c}
	return one(e.activate(y[0], func(_ int, name string, def float32) float64 {
		return c.attribute("activation_"+name, def)
	}), e.err)
}
