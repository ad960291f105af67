package lowering

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

func clipEntries() []Entry {
	return []Entry{{Name: "Clip", Min: 7, Max: MaxOpset, Lower: lowerClip}}
}

// lowerClip reads the bounds from attributes before opset 11, then from inputs.
func lowerClip(c *Call) ([]*op.Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	if c.Opset < 11 {
		clip := op.Clip{Min: math.Inf(-1), Max: math.Inf(1)}
		if c.Node.Has("min") {
			clip.Min = c.attribute("min", 0)
		}
		if c.Node.Has("max") {
			clip.Max = c.attribute("max", 0)
		}
		return one(c.Emit(clip, x))
	}
	lo, hi := c.Arg(1), c.Arg(2)
	if lo == nil && hi == nil {
		return []*op.Value{x}, nil
	}
	if x.Type.DType.IsFloat() {
		clip := op.Clip{Min: math.Inf(-1), Max: math.Inf(1)}
		if knownScalar(lo, &clip.Min) && knownScalar(hi, &clip.Max) {
			return one(c.Emit(clip, x))
		}
	}
	e := &emitter{Call: c}
	if lo != nil {
		x = e.emit(op.Max{}, x, lo)
	}
	if hi != nil {
		x = e.emit(op.Min{}, x, hi)
	}
	return one(x, e.err)
}

// knownScalar reads a constant of one element into to, leaves it alone where v
// is absent, and reports false where v is anything else.
func knownScalar(v *op.Value, to *float64) bool {
	if v == nil {
		return true
	}
	if v.Const == nil || v.Type.Elements() != 1 {
		return false
	}
	*to = v.Const.AsFloats()[0]
	return true
}
