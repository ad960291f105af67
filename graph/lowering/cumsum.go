package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func cumSumEntries() []Entry {
	return []Entry{{Name: "CumSum", Min: 11, Max: MaxOpset, Lower: lowerCumSum}}
}

func lowerCumSum(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	given, err := c.knownInts(1, "axis")
	if err != nil {
		return nil, err
	}
	if len(given) != 1 {
		return nil, fmt.Errorf("expected one axis (input 1), found %v", given)
	}
	axis, err := shapes.Axis(given[0], x.Type.Rank())
	if err != nil {
		return nil, err
	}
	return one(c.Emit(op.CumSum{Axis: axis, Exclusive: c.Node.Int("exclusive", 0) != 0, Reverse: c.Node.Int("reverse", 0) != 0}, x))
}
