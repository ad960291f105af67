package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

func scatterEntries() []Entry {
	const known = "indices must be known when the graph is read"
	elements := func(c *Call) (op.Picker, error) {
		_, axis, err := c.along(0)
		return op.GatherElements{Axis: axis}, err
	}
	return []Entry{
		{Name: "Scatter", Min: 9, Max: MaxOpset, Lower: lowerScatter(elements), Limit: "reduction none; " + known}, // deprecated by ScatterElements in opset 11
		{Name: "ScatterElements", Min: 11, Max: MaxOpset, Lower: lowerScatter(elements), Limit: "reduction none and add; " + known},
		{Name: "ScatterND", Min: 11, Max: MaxOpset, Lower: lowerScatter(func(*Call) (op.Picker, error) { return op.GatherND{}, nil }), Limit: "reduction none and add; " + known},
	}
}

// lowerScatter checks the indices, which must be known when the graph is read.
func lowerScatter(at func(c *Call) (op.Picker, error)) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		reduction := c.Node.Str("reduction", "none")
		if reduction != "none" && reduction != "add" {
			return nil, fmt.Errorf("reduction %q is not supported", reduction)
		}
		in, err := c.inputs(3)
		if err != nil {
			return nil, err
		}
		pick, err := at(c)
		if err != nil {
			return nil, err
		}
		o := op.Scatter{At: pick, Add: reduction == "add"}
		if _, err := o.Infer([]op.Type{in[0].Type, in[1].Type, in[2].Type}); err != nil {
			return nil, err
		}
		if in[1].Const == nil {
			return nil, fmt.Errorf("indices (input 1) must be known when the graph is read")
		}
		if err := op.CheckIndices(pick, in[0].Type.Shape, *in[1].Const); err != nil {
			return nil, err
		}
		return one(c.Emit(o, in...))
	}
}
