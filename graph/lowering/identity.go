package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func identityEntries() []Entry {
	return []Entry{
		{Name: "Dropout", Min: 7, Max: MaxOpset, Lower: lowerDropout, Limit: "inference only"},
		{Name: "Identity", Min: 7, Max: MaxOpset, Lower: lowerIdentity},
	}
}

func lowerIdentity(c *Call) ([]*op.Value, error) { return one(c.need(0)) }

// lowerDropout lowers inference: nothing is dropped.
func lowerDropout(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	training, err := c.knownInts(2, "training_mode")
	if err != nil {
		return nil, err
	}
	if len(training) == 1 && training[0] != 0 {
		ratio := c.arg(1)
		if ratio == nil || ratio.Const == nil || slices.ContainsFunc(ratio.Const.AsFloats(), func(r float64) bool { return r != 0 }) {
			return nil, fmt.Errorf("training_mode is true; only inference is supported: export the model in evaluation mode")
		}
	}
	out := []*op.Value{x}
	if len(c.Node.Outputs) > 1 && c.Node.Outputs[1] != "" {
		kept, err := c.NewArray(op.Type{DType: onnx.Bool, Shape: x.Type.Shape})
		if err != nil {
			return nil, err
		}
		for i := range op.Elem[bool](kept) {
			op.Elem[bool](kept)[i] = true
		}
		out = append(out, c.Constant(kept))
	}
	return out, nil
}
