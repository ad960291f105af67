package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// MatMul is Alpha·op(a)·op(b) over the last two dimensions, the others being
// broadcast as in NumPy; op transposes the last two dimensions if its flag is
// set. Both inputs have rank 2 or more. Integer products wrap.
type MatMul struct {
	TransA, TransB bool
	Alpha          float64 // 0 means 1
}

func (MatMul) Name() string { return "MatMul" }

func (o MatMul) alpha() float64 {
	if o.Alpha == 0 {
		return 1
	}
	return o.Alpha
}

// matrixDims returns the rows and columns of the matrices of a stack after an
// optional transposition, and the stack's own shape.
func matrixDims(shape []int, trans bool) (stack []int, rows, columns int) {
	r := len(shape) - 2
	rows, columns = shape[r], shape[r+1]
	if trans {
		rows, columns = columns, rows
	}
	return shape[:r], rows, columns
}

// Infer checks that the inner dimensions agree and broadcasts the others.
func (o MatMul) Infer(in []Type) (Type, error) {
	t, err := sameType(in, 2, ClassFloat32, ClassFloat64, ClassInt)
	if err != nil {
		return Type{}, err
	}
	a, b := in[0].Shape, in[1].Shape
	if len(a) < 2 || len(b) < 2 {
		return Type{}, fmt.Errorf("expected matrices of rank 2 or more, found %v and %v", a, b)
	}
	stackA, m, k := matrixDims(a, o.TransA)
	stackB, kb, n := matrixDims(b, o.TransB)
	if k != kb {
		return Type{}, fmt.Errorf("expected as many rows in the second matrix as columns in the first (%d), found %d, from %v and %v", k, kb, a, b)
	}
	stack, err := shapes.Broadcast(stackA, stackB)
	if err != nil {
		return Type{}, err
	}
	return t.With(append(stack, m, n)...), nil
}

// Forward multiplies. A stack times one matrix is one product over all rows.
func (o MatMul) Forward(c *kernel.Context, out Array, in []Array) {
	switch out.Data.(type) {
	case []float32:
		matMul[float32](c, o, out, in)
	case []float64:
		matMul[float64](c, o, out, in)
	default:
		matMulInts(o, out, in)
	}
}

// stackThreads is the number of multiplications from which on a product of a
// stack is worth all threads to itself.
const stackThreads = 1 << 22

func matMul[T kernel.Float](c *kernel.Context, o MatMul, out Array, in []Array) {
	a, b, y := Elem[T](in[0]), Elem[T](in[1]), Elem[T](out)
	if len(y) == 0 {
		return
	}
	stackA, m, k := matrixDims(in[0].Shape, o.TransA)
	stackB, _, n := matrixDims(in[1].Shape, o.TransB)
	lda, ldb := in[0].Shape[len(stackA)+1], in[1].Shape[len(stackB)+1]
	alpha := T(o.alpha())
	if !o.TransA && shapes.Elements(stackB) == 1 {
		kernel.Gemm(c, false, o.TransB, shapes.Elements(stackA)*m, n, k, alpha, a, lda, b, ldb, 0, y, n)
		return
	}
	stack := out.Shape[:len(out.Shape)-2]
	l := newLoops(stack, stackA, stackB)
	l.rows(0, shapes.Elements(stack), func(at, count int, offset [maxOperands]int) {
		a, b, y := a[offset[0]*m*k:], b[offset[1]*k*n:], y[at*m*n:]
		strideA, strideB := l.inner(0)*m*k, l.inner(1)*k*n
		if count < c.Threads() && m*n*k >= stackThreads || count == 1 {
			for i := range count {
				kernel.Gemm(c, o.TransA, o.TransB, m, n, k, alpha, a[i*strideA:], lda, b[i*strideB:], ldb, 0, y[i*m*n:], n)
			}
			return
		}
		kernel.GemmBatch(c, count, o.TransA, o.TransB, m, n, k, alpha, a, lda, strideA, b, ldb, strideB, 0, y, n, m*n)
	})
}

func matMulInts(o MatMul, out Array, in []Array) {
	a, b, y := Elem[int64](in[0]), Elem[int64](in[1]), Elem[int64](out)
	if len(y) == 0 {
		return
	}
	stackA, m, k := matrixDims(in[0].Shape, o.TransA)
	stackB, _, n := matrixDims(in[1].Shape, o.TransB)
	rowA, columnA, rowB, columnB := k, 1, n, 1
	if o.TransA {
		rowA, columnA = 1, m
	}
	if o.TransB {
		rowB, columnB = 1, k
	}
	stack := out.Shape[:len(out.Shape)-2]
	l := newLoops(stack, stackA, stackB)
	l.rows(0, shapes.Elements(stack), func(at, count int, offset [maxOperands]int) {
		for s := range count {
			a, b := a[(offset[0]+s*l.inner(0))*m*k:], b[(offset[1]+s*l.inner(1))*k*n:]
			y := y[(at+s)*m*n:]
			for i := range m {
				for j := range n {
					sum := int64(0)
					for p := range k {
						sum += a[i*rowA+p*columnA] * b[p*rowB+j*columnB]
					}
					y[i*n+j] = sum * int64(o.alpha())
				}
			}
		}
	})
	Wrap(out.DType, y)
}

// Gradient is dout·op(b)ᵀ for op(a) and op(a)ᵀ·dout for op(b), summed over the
// dimensions that were broadcast; for one matrix b that sum is part of the
// product.
func (o MatMul) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	a, b := in[0], in[1]
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		if o.TransA {
			grads[0] = g.sumTo(g.Do(MatMul{o.TransB, true, o.Alpha}, b, dout), a)
		} else {
			grads[0] = g.sumTo(g.Do(MatMul{false, !o.TransB, o.Alpha}, dout, b), a)
		}
	}
	if !need[1] {
		return grads
	}
	shape := g.TypeOf(b).Shape
	stack, _, _ := matrixDims(shape, false)
	if single := shapes.Elements(stack) == 1; single && !o.TransA {
		a, dout = g.asMatrix(a), g.asMatrix(dout)
		first, second := a, dout
		if o.TransB {
			first, second = dout, a
		}
		grads[1] = g.reshape(g.Do(MatMul{TransA: true, Alpha: o.Alpha}, first, second), shape...)
	} else if o.TransB {
		grads[1] = g.sumTo(g.Do(MatMul{true, o.TransA, o.Alpha}, dout, a), b)
	} else {
		grads[1] = g.sumTo(g.Do(MatMul{!o.TransA, false, o.Alpha}, a, dout), b)
	}
	return grads
}

// asMatrix views a node as the matrix of its rows.
func (g *Graph) asMatrix(n *gorgonia.Node) *gorgonia.Node {
	t := g.TypeOf(n)
	columns := t.Shape[t.Rank()-1]
	return g.reshape(n, shapes.Elements(t.Shape[:t.Rank()-1]), columns)
}

// reshape views a node under another shape.
func (g *Graph) reshape(n *gorgonia.Node, shape ...int) *gorgonia.Node {
	if slices.Equal(g.TypeOf(n).Shape, shape) {
		return n
	}
	return g.Do(Reshape{Shape: shape}, n)
}

// Linear is x·W + b for x [..., in] and b [out], which may be absent. W is
// [in, out] or, with TransW, [out, in], as PyTorch stores it.
type Linear struct {
	TransW bool
}

func (Linear) Name() string { return "Linear" }

// Infer checks that W fits the last dimension of x.
func (o Linear) Infer(in []Type) (Type, error) {
	t, err := sameType(in, max(2, min(3, len(in))), ClassFloat32, ClassFloat64)
	if err != nil {
		return Type{}, err
	}
	x, w := in[0].Shape, in[1].Shape
	if len(x) < 2 || len(w) != 2 {
		return Type{}, fmt.Errorf("expected rows [..., in] and a matrix, found %v and %v", x, w)
	}
	_, features, width := matrixDims(w, o.TransW)
	if last := x[len(x)-1]; last != features {
		return Type{}, fmt.Errorf("expected a weight for %d input features, found %d, from %v and %v", last, features, x, w)
	}
	if len(in) == 3 && (in[2].Rank() != 1 || in[2].Shape[0] != width) {
		return Type{}, fmt.Errorf("expected a bias of shape [%d], found %v", width, in[2].Shape)
	}
	return t.With(append(append([]int{}, x[:len(x)-1]...), width)...), nil
}

// Forward multiplies all rows at once.
func (o Linear) Forward(c *kernel.Context, out Array, in []Array) {
	o.forward(c, out, in, nil, kernel.NoActivation)
}

// ForwardAdd computes the Linear of all inputs but the last, which is an array of
// the result's size, and adds that, as [Add] would.
func (o Linear) ForwardAdd(c *kernel.Context, out Array, in []Array) {
	last := len(in) - 1
	o.forward(c, out, in[:last], in[last:], kernel.NoActivation)
}

// ForwardGELU computes a GELU of the Linear, as its Forward would.
func (o Linear) ForwardGELU(c *kernel.Context, out Array, in []Array, g GELU) {
	then := kernel.GELUActivation
	if g.Tanh {
		then = kernel.GELUTanhActivation
	}
	o.forward(c, out, in, nil, then)
}

func (o Linear) forward(c *kernel.Context, out Array, in, added []Array, then kernel.Activation) {
	if _, ok := out.Data.([]float32); ok {
		linear[float32](c, o, out, in, added, then)
	} else {
		linear[float64](c, o, out, in, added, then)
	}
}

func linear[T kernel.Float](c *kernel.Context, o Linear, out Array, in, added []Array, then kernel.Activation) {
	_, features, width := matrixDims(in[1].Shape, o.TransW)
	e := kernel.LinearEnding[T]{Then: then}
	if len(in) == 3 {
		e.Bias = Elem[T](in[2])
	}
	for _, a := range added {
		e.Added = Elem[T](a)
	}
	rows := shapes.Elements(in[0].Shape[:len(in[0].Shape)-1])
	kernel.Linear(c, o.TransW, rows, width, features, Elem[T](in[0]), Elem[T](in[1]), e, Elem[T](out))
}

// Gradient is dout·Wᵀ for x, xᵀ·dout for W and the sum of the rows of dout for
// b.
func (o Linear) Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := MatMul{TransB: o.TransW}.Gradient(g, in[:2], out, dout, need[:2])
	if len(in) == 3 {
		grads = append(grads, nil)
		if need[2] {
			grads[2] = g.sumTo(dout, in[2])
		}
	}
	return grads
}
