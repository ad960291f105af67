package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// emitter appends Ops one after another and remembers the first error, for
// lowerings that are formulas.
type emitter struct {
	*Call
	err error
}

func (e *emitter) emit(o op.Op, in ...*op.Value) *op.Value {
	if e.err != nil {
		return nil
	}
	var v *op.Value
	v, e.err = e.Emit(o, in...)
	return v
}

// input returns input i of the node.
func (e *emitter) input(i int) *op.Value {
	if e.err != nil {
		return nil
	}
	var v *op.Value
	v, e.err = e.need(i)
	return v
}

// axis reads the attribute axis, def where it is absent, for a value of a rank.
func (e *emitter) axis(def int64, rank int) int {
	if e.err != nil {
		return 0
	}
	var axis int
	axis, e.err = shapes.Axis(e.Node.Int("axis", def), rank)
	return axis
}

// scalar is [Call.scalar].
func (e *emitter) scalar(like *op.Value, v float64) *op.Value {
	if e.err != nil {
		return nil
	}
	return e.Call.scalar(like, v)
}

// array is [op.Program.NewArray].
func (e *emitter) array(t op.Type) op.Array {
	if e.err != nil {
		return op.Array{}
	}
	var a op.Array
	a, e.err = e.NewArray(t)
	return a
}

// view emits a Reshape to the joined shape where it differs.
func (e *emitter) view(v *op.Value, shape ...[]int) *op.Value {
	if e.err != nil {
		return nil
	}
	v, e.err = e.reshape(v, slices.Concat(shape...)...)
	return v
}

// part takes size elements along an axis.
func (e *emitter) part(v *op.Value, axis, start, size int) *op.Value {
	if e.err != nil {
		return nil
	}
	v, e.err = e.sliceAxis(v, axis, start, size)
	return v
}

// fail records an error unless there is one already.
func (e *emitter) fail(format string, a ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, a...)
	}
}

// one is the result of a lowering with a single output.
func one(v *op.Value, err error) ([]*op.Value, error) {
	if err != nil {
		return nil, err
	}
	return []*op.Value{v}, nil
}

// lowerFormula makes a lowering of a formula with one result.
func lowerFormula(formula func(e *emitter) *op.Value) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		e := &emitter{Call: c}
		v := formula(e)
		return one(v, e.err)
	}
}

// lowerPlain lowers an operator with n inputs and nothing to decide.
func lowerPlain(o op.Op, n int) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		in, err := c.inputs(n)
		if err != nil {
			return nil, err
		}
		return one(c.Emit(o, in...))
	}
}

// lowerWith lowers an operator whose Op is made from the node's attributes.
func lowerWith(of func(c *Call) op.Op) Lowering {
	return func(c *Call) ([]*op.Value, error) { return lowerPlain(of(c), len(c.In))(c) }
}

// lowerVariadic lowers an operator of one or more inputs to a chain of o.
func lowerVariadic(o op.Op) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		sum, err := c.need(0)
		for i := 1; i < len(c.In) && err == nil; i++ {
			var v *op.Value
			if v, err = c.need(i); err == nil {
				sum, err = c.Emit(o, sum, v)
			}
		}
		return one(sum, err)
	}
}
