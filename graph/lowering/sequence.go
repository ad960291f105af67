package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// sequenceEntries lists the operators on lists of tensors, as PyTorch's exporters write
// them for split, chunk and unbind and for lists of scripted models. Lists are taken
// apart while the graph is read.
func sequenceEntries() []Entry {
	entry := func(name string, lower Lowering) Entry {
		return Entry{Name: name, Min: 11, Max: MaxOpset, Lower: lower, NoGradient: "lists are taken apart when the graph is read", Limit: "lengths and positions must be known when the graph is read"}
	}
	return []Entry{
		entry("ConcatFromSequence", lowerConcatFromSequence),
		entry("SequenceAt", lowerSequenceAt),
		entry("SequenceConstruct", lowerSequenceConstruct),
		entry("SequenceEmpty", lowerSequenceConstruct),
		entry("SequenceErase", lowerSequenceErase),
		entry("SequenceInsert", lowerSequenceInsert),
		entry("SequenceLength", lowerSequenceLength),
		entry("SplitToSequence", lowerSplitToSequence),
	}
}

// list returns input 0, which is a list.
func (c *Call) list() ([]*op.Value, error) {
	v, err := c.need(0)
	if err != nil {
		return nil, err
	}
	if v.Kind != op.Sequence {
		return nil, fmt.Errorf("input 0 is %v, expected a sequence of tensors", v.Type)
	}
	return v.Items, nil
}

// position returns the place in a list of n that input i names, def where there is none.
// Places from the end are negative.
func (c *Call) position(i, n, def int) (int, error) {
	if c.arg(i) == nil {
		return def, nil
	}
	at, err := c.knownInts(i, "position")
	if err != nil {
		return 0, err
	}
	if len(at) != 1 || at[0] < int64(-n) || at[0] > int64(n) {
		return 0, fmt.Errorf("position %v in a sequence of %d", at, n)
	}
	if at[0] < 0 {
		at[0] += int64(n)
	}
	return int(at[0]), nil
}

func lowerSequenceConstruct(c *Call) ([]*op.Value, error) {
	items, err := c.inputs(len(c.In))
	if err != nil {
		return nil, err
	}
	return one(c.Sequence(items))
}

func lowerSequenceAt(c *Call) ([]*op.Value, error) {
	items, err := c.list()
	if err != nil {
		return nil, err
	}
	at, err := c.position(1, len(items), len(items))
	if err == nil && at == len(items) {
		err = fmt.Errorf("position %d in a sequence of %d", at, len(items))
	}
	if err != nil {
		return nil, err
	}
	return one(items[at], nil)
}

// lowerSequenceInsert: (list, tensor, where, by default at the end).
func lowerSequenceInsert(c *Call) ([]*op.Value, error) {
	items, err := c.list()
	if err != nil {
		return nil, err
	}
	v, err := c.need(1)
	if err != nil {
		return nil, err
	}
	at, err := c.position(2, len(items), len(items))
	if err != nil {
		return nil, err
	}
	return one(c.Sequence(slices.Concat(items[:at], []*op.Value{v}, items[at:])))
}

// lowerSequenceErase: (list, which, by default the last).
func lowerSequenceErase(c *Call) ([]*op.Value, error) {
	items, err := c.list()
	if err != nil {
		return nil, err
	}
	at, err := c.position(1, len(items), len(items)-1)
	if err == nil && (at < 0 || at == len(items)) {
		err = fmt.Errorf("position %d in a sequence of %d", at, len(items))
	}
	if err != nil {
		return nil, err
	}
	return one(c.Sequence(slices.Concat(items[:at], items[at+1:])))
}

func lowerSequenceLength(c *Call) ([]*op.Value, error) {
	items, err := c.list()
	if err != nil {
		return nil, err
	}
	return one(c.Constant(op.Ints([]int64{int64(len(items))})), nil)
}

// lowerSplitToSequence: (x, sizes: one for all parts but a smaller last one, or one for
// each part). Without sizes the parts are of one element, and have the dimension only if
// keepdims is 1, as by default.
func lowerSplitToSequence(c *Call) ([]*op.Value, error) {
	x, axis, err := c.along(0)
	if err != nil {
		return nil, err
	}
	d := x.Type.Shape[axis]
	given, err := c.knownSizes(1, "split")
	if err != nil {
		return nil, err
	}
	each, squeeze := 0, false // what all parts have, but perhaps the last
	count := len(given)
	if split := c.arg(1); split == nil || split.Type.Rank() == 0 {
		if each = 1; split != nil {
			each = given[0]
		} else {
			squeeze = c.Node.Int("keepdims", 1) == 0
		}
		if each < 1 {
			return nil, fmt.Errorf("parts of %d elements", each)
		}
		count = (d + each - 1) / each
	}
	// A part is a step of the program, which takes some hundred bytes.
	if err := c.Reserve(op.Type{DType: onnx.Int64, Shape: []int{count, 64}}); err != nil {
		return nil, err
	}
	sizes, left := make([]int, count), d
	for i := range sizes {
		if sizes[i] = min(each, left); each == 0 {
			sizes[i] = given[i]
		}
		left -= sizes[i]
	}
	if left != 0 {
		return nil, fmt.Errorf("expected parts that add up to the %d of axis %d, found %v", d, axis, sizes)
	}
	items := make([]*op.Value, len(sizes))
	at := 0
	for i, size := range sizes {
		if items[i], err = c.sliceAxis(x, axis, at, size); err != nil {
			return nil, err
		}
		if squeeze {
			if items[i], err = c.reshape(items[i], shapes.Without(x.Type.Shape, axis)...); err != nil {
				return nil, err
			}
		}
		at += size
	}
	return one(c.Sequence(items))
}

// lowerConcatFromSequence concatenates along an axis, or with new_axis along one that
// the parts do not have yet.
func lowerConcatFromSequence(c *Call) ([]*op.Value, error) {
	items, err := c.list()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("a sequence of no tensors")
	}
	fresh := c.Node.Int("new_axis", 0) != 0
	rank := items[0].Type.Rank()
	if fresh {
		rank++
	}
	axis, err := shapes.Axis(c.Node.Int("axis", 0), rank)
	if err != nil {
		return nil, err
	}
	if fresh {
		items = slices.Clone(items)
		for i, v := range items {
			if v.Type.Rank() != rank-1 {
				return nil, fmt.Errorf("tensors of %v and %v", items[0].Type, v.Type)
			}
			if items[i], err = c.reshape(v, slices.Insert(slices.Clone(v.Type.Shape), axis, 1)...); err != nil {
				return nil, err
			}
		}
	}
	return one(c.concat(axis, items...))
}
