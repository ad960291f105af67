package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func gatherEntries() []Entry {
	return []Entry{
		{Name: "Gather", Min: 1, Max: MaxOpset, Lower: lowerGather},
		{Name: "GatherElements", Min: 11, Max: MaxOpset, Lower: lowerGatherElements},
		{Name: "GatherND", Min: 11, Max: MaxOpset, Lower: lowerGatherND},
	}
}

func lowerGather(c *Call) ([]*op.Value, error) {
	in, err := c.inputs(2)
	if err != nil {
		return nil, err
	}
	axis, err := shapes.Axis(c.Node.Int("axis", 0), in[0].Type.Rank())
	if err != nil {
		return nil, err
	}
	return one(c.gather(in[0], in[1], axis))
}

// gather emits a Gather; indices that are known must lie within x.
func (c *Call) gather(x, index *op.Value, axis int) (*op.Value, error) {
	if index.Const != nil && axis < x.Type.Rank() {
		if ints, ok := index.Const.AsInts(); ok {
			for _, k := range ints {
				if d := int64(x.Type.Shape[axis]); k < -d || k >= d {
					return nil, fmt.Errorf("index %d of dimension %d of %v", k, axis, x.Type)
				}
			}
		}
	}
	return c.Emit(op.Gather{Axis: axis}, x, index)
}

func lowerGatherElements(c *Call) ([]*op.Value, error) {
	_, axis, err := c.along(0)
	if err != nil {
		return nil, err
	}
	return lowerPick(c, op.GatherElements{Axis: axis})
}

func lowerGatherND(c *Call) ([]*op.Value, error) {
	b := c.Node.Int("batch_dims", 0)
	if b < 0 || b > shapes.MaxRank {
		return nil, fmt.Errorf("batch_dims %d is out of range", b)
	}
	return lowerPick(c, op.GatherND{BatchDims: int(b)})
}

// lowerPick checks the indices that are known when the graph is read.
func lowerPick(c *Call, o op.Picker) ([]*op.Value, error) {
	in, err := c.inputs(2)
	if err != nil {
		return nil, err
	}
	if _, err := o.Infer([]op.Type{in[0].Type, in[1].Type}); err != nil {
		return nil, err
	}
	if in[1].Const != nil {
		if err := op.CheckIndices(o, in[0].Type.Shape, *in[1].Const); err != nil {
			return nil, err
		}
	}
	return one(c.Emit(o, in...))
}
