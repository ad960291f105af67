package exec

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// joinConvolutions makes an op.ConvThen of each convolution and of what follows it,
// as far as nothing else reads the results between and what is added is there before
// the convolution runs, in whose place the step is.
func (p *Plan) joinConvolutions() {
	u := p.uses()
	gone := make([]bool, len(p.steps))
	for i := range p.steps {
		s := &p.steps[i]
		conv, ok := s.op.(op.Conv)
		if !ok {
			continue
		}
		fused, in, last := op.ConvThen{Conv: conv}, slices.Clone(s.in), -1
		for out := s.out; ; {
			j, ok := u.onlyReader(out)
			if ok {
				ok = p.follows(&fused, &in, out, i, j, u)
			} else if gate, k, found := p.gates(out, u); found {
				fused.Then, fused.Gate, ok = p.steps[gate].op.(op.Op), true, true
				gone[gate], j = true, k
			}
			if !ok {
				break
			}
			gone[j], last = true, j
			if out = p.steps[j].out; fused.Then != nil {
				break
			}
		}
		if last >= 0 {
			end := p.steps[last]
			end.op, end.in = fused, in
			p.steps[i] = end
			u.computedBy[end.out] = i
		}
	}
	p.remove(gone)
}

// follows adds step j, which reads out, to what is computed as step i, and reports
// whether it can be.
func (p *Plan) follows(fused *op.ConvThen, in *[]int, out, i, j int, u uses) bool {
	s := p.steps[j]
	before := func(slots ...int) bool {
		return !slices.ContainsFunc(slots, func(slot int) bool { return u.computedBy[slot] >= i })
	}
	switch o := s.op.(type) {
	case op.BatchNormalization:
		// Alone, it has two roundings where the maps are single elements.
		single := shapes.Elements(p.values[out].Type.Shape[2:]) == 1
		if fused.Norm != nil || fused.Add || single || s.in[0] != out || !before(s.in[1:]...) {
			return false
		}
		fused.Norm, *in = &o, append(*in, s.in[1:]...)
		return true
	case op.Add:
		added := s.in[0]
		if added == out {
			added = s.in[1]
		}
		if fused.Add || !before(added) || !p.values[added].Type.Equal(p.values[out].Type) {
			return false
		}
		fused.Add, *in = true, append(*in, added)
		return true
	case op.Op:
		if op.CanFollow(o) {
			fused.Then = o
			return true
		}
	}
	return false
}

// gates returns the step that computes a gate from a value, and the multiplication of
// the two, if these alone read them.
func (p *Plan) gates(slot int, u uses) (gate, multiplication int, ok bool) {
	k := u.reader[slot]
	if u.readers[slot] != 2 || k <= u.computedBy[slot] {
		return 0, 0, false
	}
	s := p.steps[k]
	if _, ok := s.op.(op.Mul); !ok || len(s.in) != 2 || s.in[0] == s.in[1] {
		return 0, 0, false
	}
	by := s.in[0] + s.in[1] - slot
	gate = u.computedBy[by]
	if s.in[0] != slot && s.in[1] != slot || u.readers[by] != 1 || gate < 0 {
		return 0, 0, false
	}
	o, isOp := p.steps[gate].op.(op.Op)
	return gate, k, isOp && op.CanGate(o) && p.steps[gate].in[0] == slot
}
