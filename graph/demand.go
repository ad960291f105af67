package graph

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// dropUnreadRows computes only those rows of values that something reads. Where
// the logits take a few rows along an axis by a Slice or a Gather, as the head of
// a transformer takes the class token, the selection is moved up through the steps
// that treat rows alone, to where all rows are needed: the keys and values of the
// last attention, and the residual stream that enters its block.
//
// Rows that are read by nobody have cotangents of zero, so the gradients of
// weights stay what they were. Values are narrowed in place: the necks are the
// same values as before, and hold less.
func (n *Network) dropUnreadRows() (err error) {
	image, logits := n.Necks[0].value, n.Necks[len(n.Necks)-1].value
	if n.steps, err = readRows(n.program, logits, n.steps); err != nil {
		return &Error{Path: n.Model.Path, Msg: "the rows that are read cannot be told apart", Err: err,
			Help: "this is a defect; please report it. --no-fuse runs the model without"}
	}
	kept := map[*op.Value]bool{}
	for _, k := range n.Necks {
		kept[k.value] = true
	}
	n.findNecks(image, logits)
	// A selection that has moved below a neck is not a neck of its own.
	n.Necks = slices.DeleteFunc(n.Necks, func(k Neck) bool { return !kept[k.value] })
	n.locateWeights()
	return nil
}

// readRows narrows the steps below logits, and returns what steps there are then.
func readRows(p *op.Program, logits *op.Value, steps []*op.Step) ([]*op.Step, error) {
	r := rowPicker{program: p, demand: newDemand(steps, logits), picked: map[pick]*op.Value{}}
	for _, s := range steps {
		if err := r.narrow(s); err != nil {
			return nil, err
		}
	}
	return fuse(p, logits, schedule(p, logits), []pass{{run: (*fuser).reassociate}})
}

// rows are the indices along one axis that are read of a value, ascending.
type rows struct {
	axis  int
	index []int
}

// maxRows bounds the rows that are told apart. A selection of more is taken to
// read everything.
const maxRows = 4096

// demand says which rows are read of each value on the data path.
type demand struct {
	rows  map[*op.Value]*rows // nil: all
	axes  map[*op.Step][]int  // of steps whose result has rows; see rowAxes
	picks map[*op.Step]*rows  // what a selection takes of its input, in the order of its result
	uses  map[*op.Value]int
}

// newDemand finds out which rows are read, by going through the steps backwards:
// at each, it is known what is read of its result. More than half of the rows are
// as good as all.
func newDemand(steps []*op.Step, logits *op.Value) *demand {
	d := &demand{rows: map[*op.Value]*rows{logits: nil}, axes: map[*op.Step][]int{}, picks: map[*op.Step]*rows{}, uses: map[*op.Value]int{}}
	for _, s := range slices.Backward(steps) {
		for _, v := range s.In {
			d.uses[v]++
		}
		if s.Out.OnDataPath {
			d.read(s)
		}
	}
	return d
}

// read notes what a step reads.
func (d *demand) read(s *op.Step) {
	want := d.rows[s.Out]
	if want != nil && 2*len(want.index) > s.Out.Type.Shape[want.axis] {
		want = nil
	}
	p := picks(s, want)
	if p == nil && want != nil {
		if axes, ok := rowAxes(s, want.axis); ok {
			d.axes[s] = axes
			for i, v := range s.In {
				if axes[i] < 0 {
					d.add(v, nil)
				} else {
					d.add(v, &rows{axes[i], want.index})
				}
			}
			return
		}
		want, p = nil, picks(s, nil)
	}
	d.rows[s.Out] = want
	if p == nil || len(p.index) == 0 {
		for _, v := range s.In {
			d.add(v, nil)
		}
		return
	}
	d.picks[s] = p
	index := slices.Clone(p.index)
	slices.Sort(index)
	d.add(s.In[0], &rows{p.axis, slices.Compact(index)})
}

// add notes that rows of v are read, nil for all.
func (d *demand) add(v *op.Value, r *rows) {
	if v.Step == nil || !v.OnDataPath {
		return
	}
	have, known := d.rows[v]
	switch {
	case !known:
		d.rows[v] = r
	case have == nil || r == nil || have.axis != r.axis:
		d.rows[v] = nil
	case !slices.Equal(have.index, r.index):
		union := slices.Concat(have.index, r.index)
		slices.Sort(union)
		d.rows[v] = &rows{r.axis, slices.Compact(union)}
	}
}

// picks returns what a selection takes of its input so that the wanted rows of
// its result are there (all of them where want is nil), in the order of the
// result. It is nil for a step that does not select along the wanted axis.
func picks(s *op.Step, want *rows) *rows {
	p, keepsAxis := selection(s)
	if p == nil || want == nil {
		return p
	}
	if want.axis != p.axis || !keepsAxis {
		return nil
	}
	index := make([]int, len(want.index))
	for i, k := range want.index {
		index[i] = p.index[k]
	}
	return &rows{p.axis, index}
}

// selection returns the rows that a Slice along one axis or a Gather takes, nil
// for other steps, and whether its result has the axis, too.
func selection(s *op.Step) (p *rows, keepsAxis bool) {
	shape := s.In[0].Type.Shape
	switch o := s.Op.(type) {
	case op.Slice:
		for i, size := range o.Sizes {
			if size == shape[i] && o.Steps[i] == 1 {
				continue
			}
			if p != nil || size > maxRows {
				return nil, false
			}
			p = &rows{axis: i}
			for k := range size {
				p.index = append(p.index, o.Starts[i]+k*o.Steps[i])
			}
		}
		return p, true
	case op.Gather:
		index := s.In[1]
		if index.Const == nil || index.Type.Elements() > maxRows || index.Type.Rank() > 1 {
			return nil, false
		}
		p = &rows{axis: o.Axis}
		for _, k := range op.Elem[int64](*index.Const) {
			if k < 0 {
				k += int64(shape[o.Axis])
			}
			p.index = append(p.index, int(k))
		}
		return p, index.Type.Rank() == 1
	}
	return nil, false
}

// rowPicker narrows the results of steps to the rows that are read.
type rowPicker struct {
	program *op.Program
	demand  *demand
	picked  map[pick]*op.Value
}

// pick is a selection of rows that was made.
type pick struct {
	of    *op.Value
	axis  int
	index string
}

// narrow makes a step compute the rows of its result that are read, from those of
// its inputs.
func (r *rowPicker) narrow(s *op.Step) error {
	r.program.At(s.Node)
	want := r.demand.rows[s.Out]
	if p := r.demand.picks[s]; p != nil {
		if want == nil && r.demand.rows[s.In[0]] == nil {
			return nil
		}
		x, err := r.take(s.In[0], *p)
		if err != nil {
			return err
		}
		return r.rewrite(s, op.Reshape{Shape: resultShape(s, want)}, x)
	}
	if want == nil {
		return nil // all rows, of all that it reads
	}
	if a, ok := s.Op.(op.PackedAttention); ok && len(s.In) == 1 {
		return r.queries(s, a, want)
	}
	in := slices.Clone(s.In)
	for i, axis := range r.demand.axes[s] {
		if axis < 0 {
			continue
		}
		var err error
		if in[i], err = r.take(in[i], rows{axis, want.index}); err != nil {
			return err
		}
	}
	return r.rewrite(s, resized(s, *want), in...)
}

// rewrite gives a step another operation and other inputs; its result stays the
// same value, of another shape.
func (r *rowPicker) rewrite(s *op.Step, o op.Op, in ...*op.Value) error {
	types := make([]op.Type, len(in))
	for i, v := range in {
		types[i] = v.Type
	}
	t, err := o.Infer(types)
	if err != nil {
		return fmt.Errorf("%s: %w", stepLabel(s), err)
	}
	s.Op, s.In, s.Out.Type = o, in, t
	return nil
}

// take selects rows of v, which are numbered as they were before v was narrowed.
func (r *rowPicker) take(v *op.Value, p rows) (*op.Value, error) {
	at := p.index
	if have := r.demand.rows[v]; have != nil {
		at = make([]int, len(p.index))
		for i, k := range p.index {
			at[i], _ = slices.BinarySearch(have.index, k)
		}
	}
	if len(at) == v.Type.Shape[p.axis] && isCount(at) {
		return v, nil
	}
	key := pick{v, p.axis, fmt.Sprint(at)}
	if x := r.picked[key]; x != nil {
		return x, nil
	}
	x, err := r.emitTake(v, rows{p.axis, at})
	r.picked[key] = x
	return x, err
}

// emitTake selects rows by a Slice where they lie at equal distances, else, and
// where one is taken repeatedly, by a Gather.
func (r *rowPicker) emitTake(v *op.Value, p rows) (*op.Value, error) {
	step := 1
	if len(p.index) > 1 {
		step = p.index[1] - p.index[0]
	}
	for i, k := range p.index {
		if step == 0 || k != p.index[0]+i*step {
			indices := make([]int64, len(p.index))
			for j, k := range p.index {
				indices[j] = int64(k)
			}
			return r.program.Emit(op.Gather{Axis: p.axis}, v, r.program.Ints(indices...))
		}
	}
	o := op.WholeSlice(v.Type.Shape)
	o.Starts[p.axis], o.Sizes[p.axis], o.Steps[p.axis] = p.index[0], len(p.index), step
	return r.program.Emit(o, v)
}

// isCount reports whether the numbers are 0, 1, 2 and so on.
func isCount(index []int) bool {
	for i, k := range index {
		if i != k {
			return false
		}
	}
	return true
}

// queries narrows an attention over column blocks of one value to the queries
// that are read: keys and values are taken of all rows.
func (r *rowPicker) queries(s *op.Step, a op.PackedAttention, want *rows) error {
	in := make([]*op.Value, 3)
	for i, only := range []*rows{want, nil, nil} {
		var err error
		if in[i], err = r.columns(s.In[0], only, a.Offsets[i], a.Heads*a.HeadDim); err != nil {
			return err
		}
	}
	a.Offsets = [3]int{}
	return r.rewrite(s, a, in...)
}

// columns takes columns of the rows of x, of all rows where only is nil. Those of
// a product that nothing else reads are computed from the columns of its weight.
func (r *rowPicker) columns(x *op.Value, only *rows, from, width int) (columns *op.Value, err error) {
	in := []*op.Value{x}
	var linear op.Linear
	product := false
	if x.Step != nil && r.demand.uses[x] == 1 {
		if linear, product = x.Step.Op.(op.Linear); product {
			in = slices.Clone(x.Step.In)
		}
	}
	if only != nil {
		if in[0], err = r.take(in[0], *only); err != nil {
			return nil, err
		}
	}
	if !product {
		return r.stretch(in[0], in[0].Type.Rank()-1, from, width)
	}
	for i, operand := range in[1:] {
		axis := 0 // of the bias, and of a transposed weight
		if i == 0 && !linear.TransW {
			axis = 1
		}
		if in[1+i], err = r.stretch(operand, axis, from, width); err != nil {
			return nil, err
		}
	}
	return r.program.Emit(linear, in...)
}

// stretch takes adjacent elements along an axis.
func (r *rowPicker) stretch(v *op.Value, axis, from, size int) (*op.Value, error) {
	o := op.WholeSlice(v.Type.Shape)
	o.Starts[axis], o.Sizes[axis] = from, size
	return r.program.Emit(o, v)
}

// resultShape is the shape of a step's result once it has the wanted rows only.
func resultShape(s *op.Step, want *rows) []int {
	shape := slices.Clone(s.Out.Type.Shape)
	if want != nil {
		shape[want.axis] = len(want.index)
	}
	return shape
}
