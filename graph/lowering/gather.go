package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func gatherEntries() []Entry {
	return []Entry{
		{Name: "Gather", Min: 1, Max: MaxOpset, Lower: lowerGather},
	}
}

func lowerGather(c *Call) ([]*op.Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	index, err := c.Need(1)
	if err != nil {
		return nil, err
	}
	axis, err := shapes.Axis(c.Node.Int("axis", 0), x.Type.Rank())
	if err != nil {
		return nil, err
	}
	return one(c.gather(x, index, axis))
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
