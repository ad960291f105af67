package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func topKEntries() []Entry {
	return []Entry{
		{Name: "ArgMax", Min: 1, Max: MaxOpset, Lower: lowerArg(false), NoGradient: indexResults},
		{Name: "ArgMin", Min: 1, Max: MaxOpset, Lower: lowerArg(true), NoGradient: indexResults},
		{Name: "TopK", Min: 1, Max: MaxOpset, Lower: lowerTopK},
	}
}

func lowerArg(smallest bool) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		x, axis, err := c.along(0)
		if err != nil {
			return nil, err
		}
		y, err := c.Emit(op.TopK{Axis: axis, K: 1, Smallest: smallest, Last: c.Node.Int("select_last_index", 0) != 0}, x)
		if err != nil || c.Node.Int("keepdims", 1) != 0 {
			return one(y, err)
		}
		return one(c.reshape(y, shapes.Without(y.Type.Shape, axis)...))
	}
}

// lowerTopK: k is an attribute before opset 10. Results are sorted even where
// the node leaves their order open.
func lowerTopK(c *Call) ([]*op.Value, error) {
	x, axis, err := c.along(-1)
	if err != nil {
		return nil, err
	}
	k := []int64{c.Node.Int("k", -1)}
	if !c.Node.Has("k") {
		if k, err = c.knownInts(1, "k"); err != nil {
			return nil, err
		}
	}
	sizes, err := shapes.Sizes(k)
	if err != nil || len(sizes) != 1 {
		return nil, fmt.Errorf("expected one k, found %v", k)
	}
	e := &emitter{Call: c}
	places := e.emit(op.TopK{Axis: axis, K: sizes[0], Smallest: c.Node.Int("largest", 1) == 0}, x)
	return []*op.Value{e.emit(op.GatherElements{Axis: axis}, x, places), places}, e.err
}
