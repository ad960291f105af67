package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Trilu keeps a triangle of each matrix of its input and clears the rest: the
// elements on and above (Upper) or below diagonal K, counted to the right.
type Trilu struct {
	K     int
	Upper bool
}

// Name returns "Trilu".
func (Trilu) Name() string { return "Trilu" }

// Infer checks that the input holds matrices.
func (Trilu) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	if x.Rank() < 2 {
		return Type{}, fmt.Errorf("expected matrices, found %v", x)
	}
	return x, nil
}

// Forward copies the triangle, row by row.
func (o Trilu) Forward(c *kernel.Context, out Array, in []Array) {
	clearArray(c, out)
	rank := out.Rank()
	rows, columns := out.Shape[rank-2], out.Shape[rank-1]
	c.Parallel(elements(out.Shape[:rank-1]), max(1, copyGrain/max(1, columns)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			diagonal := r%rows + o.K
			first, end := 0, min(max(diagonal+1, 0), columns)
			if o.Upper {
				first, end = min(max(diagonal, 0), columns), columns
			}
			copyElements(out, r*columns+first, in[0], r*columns+first, end-first)
		}
	})
}

// Gradient keeps the same triangle of the cotangent.
func (o Trilu) Gradient(g *Graph, _ []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(o, dout)}
}

func triangleEntries() []Entry {
	return []Entry{
		{Name: "Trilu", Min: 14, Max: MaxOpset, Lower: lowerTrilu},
		{Name: "EyeLike", Min: 9, Max: MaxOpset, Lower: lowerEyeLike},
	}
}

// diagonal returns a diagonal's number, cut to what a matrix can have.
func diagonal(k int64) int { return int(min(max(k, -maxElements), maxElements)) }

func lowerTrilu(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	o := Trilu{Upper: c.Node.Int("upper", 1) != 0}
	k, err := c.KnownInts(1, "k")
	if err != nil {
		return nil, err
	}
	if len(k) > 1 {
		return nil, fmt.Errorf("expected one k, found %v", k)
	}
	if len(k) == 1 {
		o.K = diagonal(k[0])
	}
	return one(c.Emit(o, x))
}

// lowerEyeLike: only the shape and the type of the input count.
func lowerEyeLike(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	if x.Type.Rank() != 2 {
		return nil, fmt.Errorf("expected a matrix, found %v", x.Type)
	}
	t := Type{onnx.DType(c.Node.Int("dtype", int64(x.Type.DType))), x.Type.Shape}
	if ClassOf(t.DType) == ClassNone {
		return nil, fmt.Errorf("dtype %v is not supported", t.DType)
	}
	out, err := c.NewArray(t)
	if err != nil {
		return nil, err
	}
	k := diagonal(c.Node.Int("k", 0))
	for row := range t.Shape[0] {
		column := row + k
		if column < 0 || column >= t.Shape[1] {
			continue
		}
		i := row*t.Shape[1] + column
		switch d := out.Data.(type) {
		case []float32:
			d[i] = 1
		case []float64:
			d[i] = 1
		case []int64:
			d[i] = 1
		case []bool:
			d[i] = true
		}
	}
	return []*Value{c.Constant(out)}, nil
}
