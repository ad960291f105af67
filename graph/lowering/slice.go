package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func sliceEntries() []Entry {
	return []Entry{
		{Name: "Slice", Min: 1, Max: MaxOpset, Lower: lowerSlice},
		{Name: "Split", Min: 1, Max: MaxOpset, Lower: lowerSplit},
	}
}

// lowerSlice: bounds are attributes before opset 10 and inputs after. They are
// clamped to the axis; negative ones count from its end.
func lowerSlice(c *Call) ([]*op.Value, error) {
	x, starts, err := c.withInts("starts")
	if err != nil {
		return nil, err
	}
	ends, err := c.intsFrom("ends", 2)
	if err != nil {
		return nil, err
	}
	axes, err := c.intsFrom("axes", 3)
	if err != nil {
		return nil, err
	}
	steps, err := c.knownInts(4, "steps")
	if err != nil {
		return nil, err
	}
	if axes == nil {
		axes = count(len(starts))
	}
	if steps == nil {
		steps = slices.Repeat([]int64{1}, len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("expected as many starts, ends, axes and steps, found %v, %v, %v, %v", starts, ends, axes, steps)
	}
	if _, err := shapes.Axes(axes, x.Type.Rank()); err != nil {
		return nil, err
	}
	o := op.WholeSlice(x.Type.Shape)
	for i, a := range axes {
		axis, err := shapes.Axis(a, x.Type.Rank())
		if err != nil {
			return nil, err
		}
		if steps[i] == 0 {
			return nil, fmt.Errorf("step 0 along axis %d", axis)
		}
		o.Starts[axis], o.Sizes[axis], o.Steps[axis] = sliceBounds(x.Type.Shape[axis], starts[i], ends[i], steps[i])
	}
	return one(c.slice(x, o))
}

// sliceBounds clamps start and end to an axis of size d as NumPy does, and
// counts the elements.
func sliceBounds(d int, start, end, step int64) (first, size, stride int) {
	n := int64(d)
	// A step beyond the axis takes one element; math.MinInt64 has no negative.
	step = min(max(step, -n-1), n+1)
	if start < 0 {
		start = max(start, math.MinInt64+n) + n
	}
	if end < 0 {
		end = max(end, math.MinInt64+n) + n
	}
	if step > 0 {
		start, end = min(max(start, 0), n), min(max(end, 0), n)
		size = int(max(0, (end-start+step-1)/step))
	} else {
		start, end = min(max(start, -1), n-1), min(max(end, -1), n-1)
		size = int(max(0, (start-end-step-1)/-step))
	}
	if size == 0 {
		return 0, 0, 1
	}
	return int(start), size, int(step)
}

// lowerSplit: the sizes are an attribute, an input (opset 13), or, where absent,
// equal parts: as many as outputs, or num_outputs (opset 18), the last smaller
// where they do not divide the axis.
func lowerSplit(c *Call) ([]*op.Value, error) {
	x, axis, err := c.along(0)
	if err != nil {
		return nil, err
	}
	d := x.Type.Shape[axis]
	given, err := c.intsFrom("split", 1)
	if err != nil {
		return nil, err
	}
	sizes, err := shapes.Sizes(given)
	if err != nil {
		return nil, err
	}
	if !c.Node.Has("split") && c.arg(1) == nil {
		parts := c.Node.Int("num_outputs", int64(len(c.Node.Outputs)))
		if parts < 1 || parts > int64(max(d, len(c.Node.Outputs))) {
			return nil, fmt.Errorf("axis %d of %v cannot be split into %d parts", axis, x.Type, parts)
		}
		each := (d + int(parts) - 1) / int(parts)
		for left := d; len(sizes) < int(parts); left -= sizes[len(sizes)-1] {
			sizes = append(sizes, min(each, left))
		}
	}
	sum := 0
	for _, s := range sizes {
		sum += s
	}
	if sum != d || len(sizes) < len(c.Node.Outputs) {
		return nil, fmt.Errorf("expected %d parts that add up to the %d of axis %d, found %v", len(c.Node.Outputs), d, axis, sizes)
	}
	out := make([]*op.Value, len(sizes))
	at := 0
	for i, size := range sizes {
		if i < len(c.Node.Outputs) && c.Node.Outputs[i] != "" {
			if out[i], err = c.sliceAxis(x, axis, at, size); err != nil {
				return nil, err
			}
		}
		at += size
	}
	return out, nil
}

// sliceAxis emits a Slice of one axis.
func (c *Call) sliceAxis(v *op.Value, axis, start, size int) (*op.Value, error) {
	o := op.WholeSlice(v.Type.Shape)
	o.Starts[axis], o.Sizes[axis] = start, size
	return c.slice(v, o)
}

// slice emits a Slice, or returns v where it takes everything in order.
func (c *Call) slice(v *op.Value, o op.Slice) (*op.Value, error) {
	whole := slices.Equal(o.Sizes, v.Type.Shape)
	for i, size := range o.Sizes {
		whole = whole && (size <= 1 || o.Steps[i] == 1)
	}
	if whole {
		return v, nil
	}
	return c.Emit(o, v)
}
