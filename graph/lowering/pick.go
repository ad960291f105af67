package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

func pickEntries() []Entry {
	return []Entry{
		{Name: "GatherElements", Min: 11, Max: MaxOpset, Lower: func(c *Call) ([]*op.Value, error) {
			_, axis, err := c.along(0)
			if err != nil {
				return nil, err
			}
			return lowerPick(c, op.GatherElements{Axis: axis})
		}},
		{Name: "GatherND", Min: 11, Max: MaxOpset, Lower: func(c *Call) ([]*op.Value, error) {
			b := c.Node.Int("batch_dims", 0)
			if b < 0 || b > 64 {
				return nil, fmt.Errorf("batch_dims %d is out of range", b)
			}
			return lowerPick(c, op.GatherND{BatchDims: int(b)})
		}},
	}
}

// lowerPick checks the indices that are known when the graph is read.
func lowerPick(c *Call, o op.Picker) ([]*op.Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	index, err := c.Need(1)
	if err != nil {
		return nil, err
	}
	if _, err := o.Infer([]op.Type{x.Type, index.Type}); err != nil {
		return nil, err
	}
	if index.Const != nil {
		if err := op.CheckIndices(o, x.Type.Shape, *index.Const); err != nil {
			return nil, err
		}
	}
	return one(c.Emit(o, x, index))
}
