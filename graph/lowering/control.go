package lowering

import (
	"errors"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// controlEntries lists the operators that choose what is computed. Package onnx
// has put the nodes of both branches into the list of nodes, and package graph
// lowers those of the branch that is taken.
func controlEntries() []Entry {
	return []Entry{{
		Name: "If", Min: 1, Max: MaxOpset, Lower: lowerIf,
		NoGradient: "one branch is chosen when the graph is read, and its operators have theirs",
		Limit:      "the condition must be known when the graph is read",
	}}
}

// lowerIf returns the results of the branch that is taken. Its inputs are the
// condition, the results of the first branch and those of the second; those of
// the branch that is not taken may be absent.
func lowerIf(c *Call) ([]*op.Value, error) {
	condition, err := c.need(0)
	if err != nil {
		return nil, err
	}
	holds, known := KnownBool(condition)
	if !known {
		return nil, errors.New("which branch is taken depends on the image or on a weight; only a condition that is known when the graph is read can be followed")
	}
	n := len(c.Node.Outputs)
	out := c.In[1 : 1+n]
	if !holds {
		out = c.In[1+n : 1+2*n]
	}
	for i, v := range out {
		if v == nil && c.Node.Outputs[i] != "" {
			return nil, errors.New("the branch that is taken does not give all results")
		}
	}
	return out, nil
}

// KnownBool returns the value of a BOOL of one element, if it is known while the
// program is built.
func KnownBool(v *op.Value) (value, known bool) {
	if v.Const == nil || v.Type.Elements() != 1 {
		return false, false
	}
	b, ok := v.Const.Data.([]bool)
	return ok && b[0], ok
}
