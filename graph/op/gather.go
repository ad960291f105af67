package op

import (
	"gorgonia.org/gorgonia"
	"modeldoctor/graph/kernel"
)

type Gather struct{ Axis int }

func (Gather) Name() string { return "Gather" }
func (o Gather) Infer(in []Type) (Type, error) {
	s := append([]int{}, in[0].Shape[:o.Axis]...)
	s = append(s, in[1].Shape...)
	return in[0].With(append(s, in[0].Shape[o.Axis+1:]...)...), nil
}
func (o Gather) Forward(c *kernel.Context, out Array, in []Array) {
	inner := elements(in[0].Shape[o.Axis+1:])
	outer := elements(in[0].Shape[:o.Axis])
	idx := Elem[int64](in[1])
	for a := range outer {
		for j, k := range idx {
			if k < 0 {
				k += int64(in[0].Shape[o.Axis])
			}
			src := (a*in[0].Shape[o.Axis] + int(k)) * inner
			dst := (a*len(idx) + j) * inner
			switch y := out.Data.(type) {
			case []float32:
				copy(y[dst:dst+inner], Elem[float32](in[0])[src:])
			case []int64:
				copy(y[dst:dst+inner], Elem[int64](in[0])[src:])
			}
		}
	}
}

type gatherGrad struct {
	Gather
	Shape []int
}

func (o gatherGrad) Infer(in []Type) (Type, error) { return in[0].With(o.Shape...), nil }
func (o gatherGrad) Forward(c *kernel.Context, out Array, in []Array) {
	inner := elements(o.Shape[o.Axis+1:])
	outer := elements(o.Shape[:o.Axis])
	idx := Elem[int64](in[1])
	y := Elem[float32](out)
	clear(y)
	for a := range outer {
		for j, k := range idx {
			if k < 0 {
				k += int64(o.Shape[o.Axis])
			}
			src := (a*o.Shape[o.Axis] + int(k)) * inner
			dst := (a*len(idx) + j) * inner
			for i := range inner {
				y[src+i] += Elem[float32](in[0])[dst+i]
			}
		}
	}
}
func (o Gather) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(gatherGrad{o, g.TypeOf(in[0]).Shape}, dout, in[1]), nil}
}
