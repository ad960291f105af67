package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/shapes"

	"gorgonia.org/gorgonia"
)

// Trilu keeps a triangle of each matrix of its input and clears the rest: the
// elements on and above (Upper) or below diagonal K, counted to the right.
type Trilu struct {
	K     int
	Upper bool
}

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
	c.Parallel(shapes.Elements(out.Shape[:rank-1]), kernel.Grain(columns), func(lo, hi int) {
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
