package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Linear is x·W + b for x [..., in] and b [out], which may be absent. W is
// [in, out] or, with TransW, [out, in], as PyTorch stores it.
type Linear struct {
	TransW bool
}

// Name returns "Linear".
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
	if _, ok := out.Data.([]float32); ok {
		linear[float32](c, o, out, in)
	} else {
		linear[float64](c, o, out, in)
	}
}

func linear[T kernel.Float](c *kernel.Context, o Linear, out Array, in []Array) {
	w, y := in[1].Shape, Elem[T](out)
	_, features, width := matrixDims(w, o.TransW)
	rows := elements(out.Shape[:len(out.Shape)-1])
	kernel.Gemm(c, false, o.TransW, rows, width, features, 1, Elem[T](in[0]), features, Elem[T](in[1]), w[1], 0, y, width)
	if len(in) == 3 {
		kernel.AddRow(c, y, Elem[T](in[2]), y, rows, width)
	}
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
