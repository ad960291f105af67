package exec

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
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
			if !ok || !p.follows(&fused, &in, out, i, j, u) {
				break
			}
			gone[j], last = true, j
			if out = p.steps[j].out; fused.Then != nil {
				break
			}
		}
		if last >= 0 {
			end := p.steps[last]
			p.steps[i] = step{end.node, fused, in, end.out, end.streamed}
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
		if fused.Norm != nil || fused.Add || s.in[0] != out || !before(s.in[1:]...) {
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
