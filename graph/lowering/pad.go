package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func padEntries() []Entry {
	return []Entry{{Name: "Pad", Min: 2, Max: MaxOpset, Lower: lowerPad}}
}

// lowerPad: pads, and from opset 11 on the value, became inputs; opset 18 added
// axes.
func lowerPad(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	o := op.Pad{Mode: op.PadMode(c.Node.Str("mode", "constant")), Value: float64(c.Node.Float("value", 0))}
	if !slices.Contains([]op.PadMode{op.PadConstant, op.PadEdge, op.PadReflect, op.PadWrap}, o.Mode) {
		return nil, fmt.Errorf("mode %q is not supported", o.Mode)
	}
	pads, err := c.intsFrom("pads", 1)
	if err != nil {
		return nil, err
	}
	if v := c.arg(2); v != nil {
		if v.Const == nil || v.Type.Elements() != 1 {
			return nil, fmt.Errorf("constant_value (input 2) must be one known number, found %v", v.Type)
		}
		o.Value = v.Const.AsFloats()[0]
	}
	rank := x.Type.Rank()
	axes, err := c.knownInts(3, "axes")
	if err != nil {
		return nil, err
	}
	if axes == nil {
		axes = count(rank)
	}
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("expected %d pads, found %d", 2*len(axes), len(pads))
	}
	o.Before, o.After = make([]int, rank), make([]int, rank)
	for i, a := range axes {
		axis, err := shapes.Axis(a, rank)
		if err != nil {
			return nil, err
		}
		before, after := pads[i], pads[len(axes)+i]
		if max(before, after, -before, -after) > shapes.MaxElements {
			return nil, fmt.Errorf("pads %v are out of range", pads)
		}
		o.Before[axis], o.After[axis] = int(before), int(after)
	}
	return one(c.Emit(o, x))
}
