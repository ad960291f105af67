package op

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Scatter is its first input with the stretches replaced by the third that At
// would take with the second, the indices; with Add the third is added to them.
// At is a [GatherND] for ScatterND and a [GatherElements] for ScatterElements.
type Scatter struct {
	At  Picker
	Add bool
}

func (o Scatter) Name() string {
	if _, ok := o.At.(GatherElements); ok {
		return "ScatterElements"
	}
	return "ScatterND"
}

// Infer checks that the updates fit the stretches that the indices name.
func (o Scatter) Infer(in []Type) (Type, error) {
	if len(in) != 3 || in[2].DType != in[0].DType {
		return Type{}, fmt.Errorf("expected data, integer indices and updates of the data's type, found %v", in)
	}
	want, err := o.At.Infer(in[:2])
	if err != nil {
		return Type{}, err
	}
	if !slices.Equal(in[2].Shape, want.Shape) {
		return Type{}, fmt.Errorf("expected updates of shape %v, found %v", want.Shape, in[2].Shape)
	}
	if o.Add {
		_, err = sameType(in[:1], 1, ClassFloat32, ClassFloat64, ClassInt)
	}
	return in[0], err
}

// Forward copies the data, then puts or adds the updates in order: of several
// for one place the last wins.
func (o Scatter) Forward(c *kernel.Context, out Array, in []Array) {
	whole := contiguous(out.Shape)
	copyStrided(c, out.Shape, out, whole, in[0], whole)
	p := mustPick(o.At, in[0].Shape, in[1])
	if !o.Add {
		for i, first := range p.first {
			copyElements(out, first, in[2], i*p.size, p.size)
		}
		return
	}
	switch y := out.Data.(type) {
	case []float32:
		addPicks(p, y, Elem[float32](in[2]))
	case []float64:
		addPicks(p, y, Elem[float64](in[2]))
	case []int64:
		addPicks(p, y, Elem[int64](in[2]))
		Wrap(out.DType, y)
	}
}

// Gradient passes the cotangent to the data where they were kept and to the
// updates where they were put. Places that are named twice belong to the last;
// with Add both get it.
func (o Scatter) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 3)
	if need[0] {
		if grads[0] = dout; !o.Add {
			grads[0] = g.Do(scatterGradient{at: o.At, t: g.TypeOf(in[0])}, dout, in[1])
		}
	}
	if need[2] {
		if o.Add {
			grads[2] = g.Do(o.At, dout, in[1])
		} else {
			grads[2] = g.Do(scatterGradient{at: o.At, ofUpdates: true, t: g.TypeOf(in[2])}, dout, in[1])
		}
	}
	return grads
}

// scatterGradient is the cotangent, of type t, of the data or the updates of a
// Scatter that replaces.
type scatterGradient struct {
	at        Picker
	ofUpdates bool
	t         Type
}

func (scatterGradient) Name() string                 { return "ScatterGradient" }
func (o scatterGradient) Infer([]Type) (Type, error) { return o.t, nil }

func (o scatterGradient) Forward(c *kernel.Context, out Array, in []Array) {
	dout := in[0]
	p := mustPick(o.at, dout.Shape, in[1])
	if !o.ofUpdates {
		whole := contiguous(out.Shape)
		copyStrided(c, out.Shape, out, whole, dout, whole)
		for _, first := range p.first {
			clearElements(out, first, p.size)
		}
		return
	}
	clearArray(c, out)
	winner := map[int]int{} // the last update of each place
	for i, first := range p.first {
		winner[first] = i
	}
	for first, i := range winner {
		copyElements(out, i*p.size, dout, first, p.size)
	}
}
