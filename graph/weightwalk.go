package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// weightWalk finds the weights that values off the data path depend on. It looks
// at each value once by each route: a sum of sums has as many paths to its
// weights as two to the power of its depth.
type weightWalk struct {
	named    func(weight int) bool // whether the file has a parameter's name for it
	seen     map[visit]bool
	stack    []visit
	compared map[int]bool // weights that decide a condition or an index
	angles   map[int]bool // nameless ones of which the sine or cosine is taken
}

// visit is a value that is reached by a route.
type visit struct {
	value *op.Value
	route route
}

// route says what lies between a value and the data path.
type route uint8

const (
	direct   route = iota
	turned         // a sine or cosine: positions and frequencies of a sinusoidal embedding; learned ones have a name
	compared       // a comparison, which no gradient passes: the material of a mask
)

// leaves returns the weights that v depends on and that no earlier call has
// returned, in the order in which they are operands.
func (w *weightWalk) leaves(v *op.Value) []*op.Value {
	var found []*op.Value
	w.stack = append(w.stack[:0], visit{v, direct})
	for len(w.stack) > 0 {
		at := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if w.seen[at] {
			continue
		}
		w.seen[at] = true
		if v := at.value; v.Kind == op.Weight {
			switch {
			case at.route == compared:
				w.compared[v.Index] = true
			case at.route == turned && !w.named(v.Index):
				w.angles[v.Index] = true
			default:
				found = append(found, v)
			}
		}
		step := at.value.Step
		if step == nil {
			continue
		}
		route := at.route
		if class := op.ClassOf(step.Out.Type.DType); class != op.ClassFloat32 && class != op.ClassFloat64 {
			route = compared
		} else if route == direct && isSinusoid(step.Op) {
			route = turned
		}
		for _, u := range slices.Backward(step.In) {
			w.stack = append(w.stack, visit{u, route})
		}
	}
	return found
}

func isSinusoid(o op.Op) bool {
	switch o.(type) {
	case op.Sin, op.Cos:
		return true
	}
	return false
}
