package op

import (
	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Clip holds x between Min and Max, either of which may be infinite; where Min
// is above Max the result is Max.
type Clip struct{ Min, Max float64 }

// Name returns "Clip".
func (Clip) Name() string { return "Clip" }

// Infer returns the input's type.
func (Clip) Infer(in []Type) (Type, error) { return inferFloat(in) }

// Forward clips.
func (o Clip) Forward(c *kernel.Context, out Array, in []Array) {
	pointwise(c, out, in[0], clip[float32](o), clip[float64](o), nil)
}

// Gradient is dout where x lies within the bounds or on them, else 0.
func (o Clip) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(Slope{o}, in[0], dout)}
}

func (o Clip) slope(c *kernel.Context, dx, x, dy Array) {
	slope(c, dx, x, dy, clipSlope[float32](o), clipSlope[float64](o))
}

func clip[T kernel.Float](o Clip) func(x, y []T) {
	lo, hi := T(o.Min), T(o.Max)
	return func(x, y []T) {
		y = y[:len(x)]
		for i, v := range x {
			y[i] = min(hi, max(lo, v))
		}
	}
}

func clipSlope[T kernel.Float](o Clip) func(x, dy, dx []T) {
	lo, hi := T(o.Min), T(o.Max)
	return func(x, dy, dx []T) {
		dy, dx = dy[:len(x)], dx[:len(x)]
		for i, v := range x {
			d := dy[i]
			if v < lo || v > hi {
				d = 0
			}
			dx[i] = d
		}
	}
}
