package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Slice takes Sizes[i] elements along every axis i, beginning at Starts[i], in
// steps of Steps[i], which may be negative. All three have one entry per
// dimension of the input.
type Slice struct{ Starts, Sizes, Steps []int }

// Name returns "Slice".
func (Slice) Name() string { return "Slice" }

// Infer checks that every element taken exists.
func (o Slice) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	if err := o.fits(x.Shape); err != nil {
		return Type{}, err
	}
	return x.With(o.Sizes...), nil
}

// fits checks the slice against the shape of what it is taken from.
func (o Slice) fits(shape []int) error {
	if len(o.Starts) != len(shape) || len(o.Sizes) != len(shape) || len(o.Steps) != len(shape) {
		return fmt.Errorf("expected bounds for the %d dimensions of %v, found starts %v, sizes %v, steps %v", len(shape), shape, o.Starts, o.Sizes, o.Steps)
	}
	for i, d := range shape {
		first := o.Starts[i]
		last := first + (o.Sizes[i]-1)*o.Steps[i]
		if o.Sizes[i] < 0 || o.Sizes[i] > 0 && (min(first, last) < 0 || max(first, last) >= d) {
			return fmt.Errorf("%d elements from %d in steps of %d lie outside axis %d of %v", o.Sizes[i], first, o.Steps[i], i, shape)
		}
	}
	return nil
}

// within returns where the slice's elements lie in an array of the shape.
func (o Slice) within(shape []int) placement {
	p := placement{strides: rowMajor(shape)}
	for i := range shape {
		p.offset += o.Starts[i] * p.strides[i]
		p.strides[i] *= o.Steps[i]
	}
	return p
}

// Forward copies the slice.
func (o Slice) Forward(c *kernel.Context, out Array, in []Array) {
	copyStrided(c, o.Sizes, out, placement{strides: rowMajor(o.Sizes)}, in[0], o.within(in[0].Shape))
}

// Gradient places the cotangent in zeros.
func (o Slice) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(Place{o, g.TypeOf(in[0]).Shape}, dout)}
}

// Place puts its input at a slice of an array of zeros of the given shape: the
// transposed map of a Slice.
type Place struct {
	At    Slice
	Shape []int
}

// Name returns "Place".
func (Place) Name() string { return "Place" }

// Infer checks that the input has the slice's sizes.
func (o Place) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	if !slices.Equal(x.Shape, o.At.Sizes) {
		return Type{}, fmt.Errorf("expected an input of shape %v, found %v", o.At.Sizes, x)
	}
	if err := o.At.fits(o.Shape); err != nil {
		return Type{}, err
	}
	return x.With(o.Shape...), nil
}

// Forward clears the result and copies the input into it.
func (o Place) Forward(c *kernel.Context, out Array, in []Array) {
	clearArray(c, out)
	copyStrided(c, o.At.Sizes, out, o.At.within(o.Shape), in[0], placement{strides: rowMajor(o.At.Sizes)})
}

// wholeSlice returns the slice that takes everything.
func wholeSlice(shape []int) Slice {
	o := Slice{make([]int, len(shape)), slices.Clone(shape), make([]int, len(shape))}
	for i := range o.Steps {
		o.Steps[i] = 1
	}
	return o
}

// sliceAxis emits a Slice of one axis.
func (p *Program) sliceAxis(v *Value, axis, start, size int) (*Value, error) {
	o := wholeSlice(v.Type.Shape)
	o.Starts[axis], o.Sizes[axis] = start, size
	return p.slice(v, o)
}

// slice emits a Slice, or returns v where it takes everything in order.
func (p *Program) slice(v *Value, o Slice) (*Value, error) {
	whole := slices.Equal(o.Sizes, v.Type.Shape)
	for i, size := range o.Sizes {
		whole = whole && (size <= 1 || o.Steps[i] == 1)
	}
	if whole {
		return v, nil
	}
	return p.Emit(o, v)
}

func sliceEntries() []Entry {
	return []Entry{
		{Name: "Slice", Min: 1, Max: MaxOpset, Lower: lowerSlice},
		{Name: "Split", Min: 1, Max: MaxOpset, Lower: lowerSplit},
	}
}

// lowerSlice: bounds are attributes before opset 10 and inputs after. They are
// clamped to the axis; negative ones count from its end.
func lowerSlice(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	starts, err := c.IntsFrom("starts", 1)
	if err != nil {
		return nil, err
	}
	ends, err := c.IntsFrom("ends", 2)
	if err != nil {
		return nil, err
	}
	axes, err := c.IntsFrom("axes", 3)
	if err != nil {
		return nil, err
	}
	steps, err := c.KnownInts(4, "steps")
	if err != nil {
		return nil, err
	}
	if axes == nil {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if steps == nil {
		steps = slices.Repeat([]int64{1}, len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("expected as many starts, ends, axes and steps, found %v, %v, %v, %v", starts, ends, axes, steps)
	}
	if _, err := resolveAxes(axes, x.Type.Rank()); err != nil {
		return nil, err
	}
	o := wholeSlice(x.Type.Shape)
	for i, a := range axes {
		axis, err := resolveAxis(a, x.Type.Rank())
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
func lowerSplit(c *Call) ([]*Value, error) {
	x, axis, err := c.along(0)
	if err != nil {
		return nil, err
	}
	d := x.Type.Shape[axis]
	given, err := c.IntsFrom("split", 1)
	if err != nil {
		return nil, err
	}
	sizes, err := toSizes(given)
	if err != nil {
		return nil, err
	}
	if !c.Node.Has("split") && c.Arg(1) == nil {
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
	out := make([]*Value, len(sizes))
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
