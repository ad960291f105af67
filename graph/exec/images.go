package exec

import (
	"context"
	"slices"
	"unsafe"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// An imageRun is a run of steps that treat each image by itself and have more of them than a
// cache holds. They are done for a few images, then for the next few, so that a step finds in the
// cache what the one before has written; what only they read has room for those few. The bits are
// the same.
type imageRun struct {
	first, last int // steps, both included
	groups      int // of images
	// within says of the values that the steps compute whether only they read them: such a value
	// holds one group.
	within map[int]bool
	whole  []whole // the other values of images
}

// whole is a value of all images, by groups of them.
type whole struct {
	slot   int
	begin  *float32 // of the data that the groups are parts of
	groups []op.Array
}

// A step may read and write so much before images are taken in groups: about what a program has of
// a shared cache, or what all threads have of caches of their own, so that there also is enough for
// each of them to do.
const (
	cachedBytes       = 4 << 20
	cachedThreadBytes = 512 << 10
)

const float32Bytes = 4

// groupImages finds the runs, for so many threads. Only convolutional networks have any.
func (p *Plan) groupImages(threads int) {
	u := p.uses()
	cached := int64(max(cachedBytes, threads*cachedThreadBytes))
	for i := 0; i < len(p.steps); i++ {
		if run := p.imageRun(i, cached); run != nil {
			p.useRun(run, u)
			i = run.last
		}
	}
}

// imageRun returns the run that begins with a step, nil if none does. It ends with the last step
// of which not many more images fit than of others: small maps are better computed together.
func (p *Plan) imageRun(first int, cached int64) *imageRun {
	const many = 4
	run := &imageRun{first: first, last: first}
	var images, fit int
	for i := first; i < len(p.steps); i++ {
		n, bytes := p.eachImage(&p.steps[i])
		fits := int(max(1, cached/max(1, bytes)))
		if i == first {
			images, fit = n, fits
			if fits >= images {
				return nil
			}
		}
		if n != images {
			break
		}
		if fits < min(images, many*fit) {
			run.last, fit = i, min(fit, fits)
		}
	}
	// What it hands on is to be small.
	for i := run.last + 1; i < len(p.steps) && p.shrinks(&p.steps[i], images); i++ {
		run.last = i
	}
	if run.last == first {
		return nil
	}
	for images%fit > 0 {
		fit--
	}
	run.groups = images / fit
	return run
}

// eachImage returns the number of images that a step computes, each from itself, and the
// bytes of one in what it reads and writes; 0 if it does something else.
func (p *Plan) eachImage(s *step) (images int, bytes int64) {
	out := p.values[s.out].Type
	if s.streamed || op.ClassOf(out.DType) != op.ClassFloat32 || out.Rank() < 3 || out.Elements() == 0 {
		return 0, 0
	}
	by := p.operandsByImage(s)
	if by == nil {
		return 0, 0
	}
	elements := out.Elements()
	for i, each := range by {
		if each {
			elements += p.values[s.in[i]].Type.Elements()
		}
	}
	return out.Shape[0], int64(elements/out.Shape[0]) * float32Bytes
}

// shrinks reports whether a step computes images, each from itself, that are smaller than what it
// reads of them.
func (p *Plan) shrinks(s *step, images int) bool {
	n, bytes := p.eachImage(s)
	return n == images && 2*float32Bytes*int64(p.values[s.out].Type.Elements()/n) < bytes
}

// operandsByImage says which operands of a step hold something for each image, if the step
// computes each image's result from these and from what is the same for all; otherwise it is nil.
func (p *Plan) operandsByImage(s *step) []bool {
	out := p.values[s.out].Type
	by := make([]bool, len(s.in))
	for i, slot := range s.in {
		t := p.values[slot].Type
		by[i] = t.Rank() == out.Rank() && t.Shape[0] == out.Shape[0]
	}
	switch o := s.op.(type) {
	case op.Conv, op.BatchNormalization:
		clear(by[1:])
		return by
	case op.ConvThen:
		clear(by[1:])
		by[len(by)-1] = by[len(by)-1] || o.Add
		return by
	case op.MaxPool, op.AveragePool, op.Relu, op.LeakyRelu, op.Elu, op.Sigmoid, op.HardSigmoid, op.Tanh, op.Clip, op.Add, op.Mul:
		return by
	case op.Reduce:
		if o.KeepDims && len(o.Axes) > 0 && o.Axes[0] > 1 {
			return by
		}
	case op.Concat:
		if o.Axis > 0 {
			return by
		}
	}
	return nil
}

// useRun makes the steps of a run work on groups of images.
func (p *Plan) useRun(run *imageRun, u uses) {
	steps := p.steps[run.first : run.last+1]
	reads := map[int]int{} // of a value, by the run
	for _, s := range steps {
		for _, slot := range s.in {
			reads[slot]++
		}
	}
	run.within = map[int]bool{}
	for _, s := range steps {
		run.within[s.out] = reads[s.out] == u.readers[s.out]
	}
	index := map[int]int{} // in run.whole, by slot
	for i := range steps {
		s := &steps[i]
		s.run, s.grouped = run, make([]int, len(s.in)+1)
		by := append(p.operandsByImage(s), true)
		for j, slot := range append(slices.Clone(s.in), s.out) {
			s.grouped[j] = -1
			if !by[j] || run.within[slot] {
				continue
			}
			if _, ok := index[slot]; !ok {
				index[slot] = len(run.whole)
				run.whole = append(run.whole, newWhole(slot, p.values[slot].Type, run.groups))
			}
			s.grouped[j] = index[slot]
		}
	}
	for slot, within := range run.within {
		if within {
			p.values[slot].Type = groupType(p.values[slot].Type, run.groups)
		}
	}
}

func newWhole(slot int, t op.Type, groups int) whole {
	w := whole{slot: slot, groups: make([]op.Array, groups)}
	for i := range w.groups {
		w.groups[i].Type = groupType(t, groups)
	}
	return w
}

// groupType is the type of one of several groups of images.
func groupType(t op.Type, groups int) op.Type {
	return t.With(append([]int{t.Shape[0] / groups}, t.Shape[1:]...)...)
}

// since returns the first step, and until the last, at which what step i writes or reads must
// be there: in a run, what holds all images is there all along.
func (p *Plan) since(i, slot int) int {
	if run := p.steps[i].run; run != nil && !run.within[slot] {
		return run.first
	}
	return i
}

func (p *Plan) until(i, slot int) int {
	if run := p.steps[i].run; run != nil && !run.within[slot] {
		return run.last
	}
	return i
}

// operand returns operand j of a step, or after the last its result, for a group of its run.
func (p *Plan) operand(s *step, j, group int) op.Array {
	switch {
	case s.run != nil && s.grouped[j] >= 0:
		return s.run.whole[s.grouped[j]].groups[group]
	case j == len(s.in):
		return p.values[s.out]
	}
	return p.values[s.in[j]]
}

// divide makes the groups those of what the plan's values are now.
func (r *imageRun) divide(p *Plan) {
	for i := range r.whole {
		w := &r.whole[i]
		data := op.Elem[float32](p.values[w.slot])
		if w.begin == unsafe.SliceData(data) {
			continue
		}
		w.begin = unsafe.SliceData(data)
		size := len(data) / r.groups
		for j := range w.groups {
			w.groups[j].Data = data[j*size : (j+1)*size : (j+1)*size]
		}
	}
}

// forget lets go of the values.
func (r *imageRun) forget() {
	for i := range r.whole {
		w := &r.whole[i]
		w.begin = nil
		for j := range w.groups {
			w.groups[j].Data = nil
		}
	}
}

// runGroups computes the values of a run, group by group of images.
func (m *Machine) runGroups(ctx context.Context, p *Plan, run *imageRun) error {
	run.divide(p)
	for group := range run.groups {
		for i := run.first; i <= run.last; i++ {
			if err := m.step(p, &p.steps[i], group); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}
