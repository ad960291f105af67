package graph

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// fuse replaces known patterns among the steps below logits by fused Ops, which
// run faster and keep less in memory, and returns what steps there are then. The
// program means the same before and after: a test runs every model both ways.
//
// A panic of a pass, which is a mistake in it and not of the file, is an error that
// names the node.
func fuse(p *op.Program, logits *op.Value, steps []*op.Step, passes []pass) (fused []*op.Step, err error) {
	var at *op.Step
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
			if at != nil && at.Node != nil {
				err = fmt.Errorf("%s: %w", at.Node.Label(), err)
			}
		}
	}()
	var f *fuser
	for _, pass := range passes {
		if f == nil {
			f = newFuser(p, logits, steps)
		}
		before := len(p.Steps)
		for _, s := range steps {
			// An earlier rewrite of the pass may have replaced this step.
			if s.Out.Step == s {
				at = s
				p.At(s.Node)
				pass.run(f, s)
			}
		}
		if len(p.Steps) > before || f.folded {
			steps, f = schedule(p, logits), nil
		}
	}
	return steps, nil
}

// pass is one rewrite. Passes that make a fused Op say so for the list of what
// is supported.
type pass struct {
	run       func(*fuser, *op.Step)
	result    string // what the fused Op computes; "" for passes that only prepare
	operators string // the ONNX operators it is recognised in
}

// passes lists them in the order in which they are run, each over all steps. The
// layout passes come after the linear ones, because moving a Transpose past a
// Linear is what lets two of them cancel.
func passes() []pass {
	return []pass{
		{run: (*fuser).dropNeutral},
		{(*fuser).fuseLinear, "linear layer", "MatMul Add Transpose"},
		{(*fuser).fuseNormalization, "layer normalisation", "ReduceMean Sub Pow Mul Add Sqrt Div"},
		{(*fuser).fuseGELU, "GELU", "Mul Div Add Erf Tanh Sigmoid Pow"},
		{run: (*fuser).liftLinear},
		{(*fuser).fuseAttention, "attention", "MatMul Mul Div Softmax Reshape Transpose Slice Split Gather Attention com.microsoft.Attention com.microsoft.MultiHeadAttention"},
		{run: (*fuser).simplifyLayout},
		{run: (*fuser).liftLinear},
		{run: (*fuser).simplifyLayout},
		{(*fuser).fusePatchEmbedding, "patch embedding", "Conv Reshape Flatten Transpose"},
	}
}

// fuser is one pass over a program, or several while they change nothing.
type fuser struct {
	program *op.Program
	batch   int
	uses    map[*op.Value]int // of the program as the pass found it
	folded  bool              // a step became a constant
}

func newFuser(p *op.Program, logits *op.Value, steps []*op.Step) *fuser {
	f := &fuser{program: p, batch: logits.Type.Shape[0], uses: make(map[*op.Value]int, 2*len(steps))}
	f.uses[logits] = 1
	for _, s := range steps {
		for _, v := range s.In {
			f.uses[v]++
		}
	}
	return f
}

// emit appends a new step.
func (f *fuser) emit(o op.Op, in ...*op.Value) *op.Value {
	v, err := f.program.Emit(o, in...)
	if err != nil {
		panic(fmt.Sprintf("graph: fuse: %v", err))
	}
	for _, u := range in {
		f.uses[u]++
	}
	f.uses[v]++
	return v
}

// replace makes v the result of o applied to in. Uses of v stay as they are.
func (f *fuser) replace(v *op.Value, o op.Op, in ...*op.Value) {
	w := f.emit(o, in...)
	if !w.Type.Equal(v.Type) {
		panic(fmt.Sprintf("graph: fuse: %s makes %v of what was %v", o.Name(), w.Type, v.Type))
	}
	if w.Step == nil { // folded
		v.Kind, v.Const, v.Step, v.OnDataPath = w.Kind, w.Const, nil, false
		f.folded = true
		return
	}
	w.Step.Out = v
	v.Step = w.Step
}

// once reports whether v has a single use, so that replacing that use leaves
// nothing behind.
func (f *fuser) once(v *op.Value) bool { return f.uses[v] == 1 }

// scalar returns the value of a constant of one element.
func scalar(v *op.Value) (float64, bool) {
	if v.Const == nil || v.Type.Elements() != 1 {
		return 0, false
	}
	if c := op.ClassOf(v.Type.DType); c != op.ClassFloat32 && c != op.ClassFloat64 {
		return 0, false
	}
	return v.Const.AsFloats()[0], true
}

// scalarOperand splits a commutative step into its scalar constant and its
// other operand.
func scalarOperand(s *op.Step) (x *op.Value, c float64, ok bool) {
	if c, ok = scalar(s.In[1]); ok {
		return s.In[0], c, true
	}
	if c, ok = scalar(s.In[0]); ok {
		return s.In[1], c, true
	}
	return nil, 0, false
}

// isScale reports whether a step multiplies its data by one constant.
func isScale(s *op.Step) (x *op.Value, c float64, ok bool) {
	switch s.Op.(type) {
	case op.Mul:
		x, c, ok = scalarOperand(s)
	case op.Div:
		if c, ok = scalar(s.In[1]); ok && c != 0 {
			x, c = s.In[0], 1/c
		}
	}
	// A scalar of higher rank than the data would change the shape.
	return x, c, ok && slices.Equal(x.Type.Shape, s.Out.Type.Shape)
}

// dropNeutral removes additions of zero and multiplications by one: masks that
// mask nothing, and Where whose condition is one constant. It also removes the
// guard against NaN that some exporters put behind an unmasked Softmax.
func (f *fuser) dropNeutral(s *op.Step) {
	var same *op.Value
	switch s.Op.(type) {
	case op.Add:
		for i, v := range s.In {
			if v.Const != nil && all(v, 0) {
				same = s.In[1-i]
			}
		}
	case op.Mul:
		for i, v := range s.In {
			if v.Const != nil && all(v, 1) {
				same = s.In[1-i]
			}
		}
	case op.Where:
		same = f.unguard(s)
	}
	if same != nil && same.Type.Equal(s.Out.Type) {
		f.replace(s.Out, op.Reshape{Shape: s.Out.Type.Shape}, same)
	}
}

// unguard matches Where(IsNaN(p), c, p) with p a Softmax of scores to which no
// constant -Inf was added: p is NaN only where the whole computation is.
func (f *fuser) unguard(s *op.Step) *op.Value {
	cond, p := s.In[0], s.In[2]
	if cond.Step == nil || p.Step == nil {
		return nil
	}
	if _, ok := cond.Step.Op.(op.IsNaN); !ok || cond.Step.In[0] != p {
		return nil
	}
	if _, ok := p.Step.Op.(op.Softmax); !ok {
		return nil
	}
	for v, n := p.Step.In[0], 0; v.Step != nil && n < maxChain; v, n = v.Step.In[0], n+1 {
		switch v.Step.Op.(type) {
		case op.MatMul:
			return p
		case op.Add, op.Where:
			if slices.ContainsFunc(v.Step.In, func(u *op.Value) bool { return u.Const != nil && !all(u, 0) }) {
				return nil
			}
		}
	}
	return nil
}

// all reports whether every element of a float constant is c.
func all(v *op.Value, c float64) bool {
	switch d := v.Const.Data.(type) {
	case []float32:
		return !slices.ContainsFunc(d, func(x float32) bool { return float64(x) != c })
	case []float64:
		return !slices.ContainsFunc(d, func(x float64) bool { return x != c })
	}
	return false
}

// fuseLinear makes a Linear of a product with a matrix that does not depend on
// the image and of the addition of a row to it.
func (f *fuser) fuseLinear(s *op.Step) {
	switch o := s.Op.(type) {
	case op.MatMul:
		if o.TransA || o.TransB || (o.Alpha != 0 && o.Alpha != 1) {
			return
		}
		x, w := s.In[0], s.In[1]
		if !x.OnDataPath || w.OnDataPath || w.Type.Rank() != 2 || x.Type.Rank() < 2 {
			return
		}
		if stored, ok := transposed(w); ok {
			f.replace(s.Out, op.Linear{TransW: true}, x, stored)
			return
		}
		f.replace(s.Out, op.Linear{}, x, w)
	case op.Add:
		for i, y := range s.In {
			b := s.In[1-i]
			if y.Step == nil || len(y.Step.In) != 2 || !f.once(y) || b.OnDataPath || b.Type.Rank() != 1 {
				continue
			}
			linear, ok := y.Step.Op.(op.Linear)
			if !ok || !y.Type.Equal(s.Out.Type) || b.Type.Shape[0] != y.Type.Shape[y.Type.Rank()-1] {
				continue
			}
			f.replace(s.Out, linear, y.Step.In[0], y.Step.In[1], b)
			return
		}
	}
}

// transposed returns the matrix that w is the transpose of.
func transposed(w *op.Value) (*op.Value, bool) {
	if w.Step == nil {
		return nil, false
	}
	t, ok := w.Step.Op.(op.Transpose)
	if !ok || !slices.Equal(t.Perm, []int{1, 0}) {
		return nil, false
	}
	return w.Step.In[0], true
}

// liftLinear moves a Linear in front of a rearrangement of its rows: exporters
// wrap products in Transpose and Reshape, which cancel once they meet.
func (f *fuser) liftLinear(s *op.Step) {
	linear, ok := s.Op.(op.Linear)
	if !ok {
		return
	}
	in := slices.Clone(s.In)
	var moved []*op.Step
	for x := in[0]; x.Step != nil && isBijective(x.Step) && keepsRows(x.Step) && len(moved) < maxChain; x = x.Step.In[0] {
		moved = append(moved, x.Step)
		in[0] = x.Step.In[0]
	}
	if len(moved) == 0 || in[0].Type.Rank() < 2 {
		return
	}
	y := f.emit(linear, in...)
	width := s.Out.Type.Shape[s.Out.Type.Rank()-1]
	for i := len(moved) - 1; i >= 0; i-- {
		o := moved[i].Op
		if isReshape(moved[i]) {
			shape := slices.Clone(moved[i].Out.Type.Shape)
			shape[len(shape)-1] = width
			o = op.Reshape{Shape: shape}
		}
		if i == 0 {
			f.replace(s.Out, o, y)
			return
		}
		y = f.emit(o, y)
	}
}

// keepsRows reports whether a rearrangement leaves the last dimension alone.
func keepsRows(s *op.Step) bool {
	in, out := s.In[0].Type.Shape, s.Out.Type.Shape
	if len(in) < 2 || len(out) < 2 || in[len(in)-1] != out[len(out)-1] {
		return false
	}
	if t, ok := s.Op.(op.Transpose); ok {
		return t.Perm[len(t.Perm)-1] == len(t.Perm)-1
	}
	return true
}

// maxChain bounds the rearrangements in a row that are looked at together. Exporters
// write ten; without a bound a file of nothing else would take quadratic time.
const maxChain = 64

// simplifyLayout follows a chain of Reshape and Transpose to its beginning and
// replaces it by one Reshape where nothing moves, or by at most one Transpose. Two
// Reshapes in a row become one, past which a Linear can be lifted.
func (f *fuser) simplifyLayout(s *op.Step) {
	if !s.Out.OnDataPath || !isBijective(s) {
		return
	}
	var chain []*op.Step
	source := s.Out
	for source.Step != nil && isBijective(source.Step) && len(chain) < maxChain {
		chain = append(chain, source.Step)
		source = source.Step.In[0]
	}
	transposes := 0
	l := contiguous(source)
	for _, step := range slices.Backward(chain) {
		if _, ok := step.Op.(op.Transpose); ok {
			transposes++
		}
		var ok bool
		if l, ok = l.apply(step); !ok {
			return
		}
	}
	if l.identity() {
		if len(chain) > 1 || transposes > 0 {
			f.replace(s.Out, op.Reshape{Shape: s.Out.Type.Shape}, source)
		}
		return
	}
	if transposes < 2 {
		if len(chain) > 1 && isReshape(chain[0]) && isReshape(chain[1]) {
			f.replace(s.Out, s.Op, chain[1].In[0])
		}
		return
	}
	// One transpose of the source, seen at the granularity of the factors.
	factors := merged(l.dims...)
	order := make([]int, len(factors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return factors[b].stride - factors[a].stride })
	shape, perm := make([]int, len(order)), make([]int, len(order))
	for position, k := range order {
		shape[position] = factors[k].size
		perm[k] = position
	}
	v := f.emit(op.Reshape{Shape: shape}, source)
	v = f.emit(op.Transpose{Perm: perm}, v)
	f.replace(s.Out, op.Reshape{Shape: s.Out.Type.Shape}, v)
}

// fusePatchEmbedding joins a convolution whose patches do not overlap with the
// Reshape and Transpose that turn its map into tokens.
func (f *fuser) fusePatchEmbedding(s *op.Step) {
	t, ok := s.Op.(op.Transpose)
	if !ok || !slices.Equal(t.Perm, []int{0, 2, 1}) {
		return
	}
	r := s.In[0].Step
	if r == nil || !f.once(s.In[0]) {
		return
	}
	if _, ok := r.Op.(op.View); !ok {
		return
	}
	c := r.In[0].Step
	if c == nil || !f.once(r.In[0]) {
		return
	}
	conv, ok := c.Op.(op.Conv)
	if !ok || !conv.Patches() || c.Out.Type.Rank() != 4 {
		return
	}
	map4, map3 := c.Out.Type.Shape, r.Out.Type.Shape
	if map3[0] != map4[0] || map3[1] != map4[1] {
		return
	}
	f.replace(s.Out, op.PatchEmbedding{Kernel: conv.Kernel}, c.In...)
}
