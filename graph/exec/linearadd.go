package exec

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// LinearAdd is an op.Linear and the addition of an array of its result's type, in
// one step: a residual connection. Its operands are those of the Linear, and then
// that array. [Compile] makes one where nothing else reads the Linear's result,
// which then needs no memory; some devices have it as one product.
type LinearAdd struct{ op.Linear }

// Name is that of both.
func (LinearAdd) Name() string { return "Linear + Add" }

// Forward computes the same bits as one after the other.
func (o LinearAdd) Forward(c *kernel.Context, out op.Array, in []op.Array) {
	o.Linear.ForwardAdd(c, out, in)
}

// joinAdditions makes a LinearAdd of each Linear and the Add that alone reads its
// result, perhaps by way of views, if what is added is there before the Linear
// runs. It takes the place of the Linear, so that nothing lives longer than before.
func (p *Plan) joinAdditions() {
	u := p.uses()
	gone := make([]bool, len(p.steps))
	for j, s := range p.steps {
		if _, ok := s.op.(op.Add); !ok {
			continue
		}
		for k, added := range [2]int{s.in[1], s.in[0]} {
			i, views, ok := p.source(u, s.in[k])
			if !ok || u.computedBy[added] >= i || !p.addsTo(p.steps[i].out, added, s.out) {
				continue
			}
			linear, ok := p.steps[i].op.(op.Linear)
			if !ok {
				continue
			}
			s.op, s.in = LinearAdd{linear}, append(slices.Clone(p.steps[i].in), added)
			p.steps[i] = s
			u.computedBy[s.out] = i
			for _, v := range append(views, j) {
				gone[v] = true
			}
			break
		}
	}
	p.remove(gone)
}

// addsTo reports whether the rows of a Linear's result, under another shape, are
// those of a sum with an array of the sum's type.
func (p *Plan) addsTo(linear, added, sum int) bool {
	x, y := p.values[linear].Type, p.values[sum].Type
	return p.values[added].Type.Equal(y) && x.DType == y.DType && x.Elements() == y.Elements() &&
		y.Rank() > 0 && x.Shape[x.Rank()-1] == y.Shape[y.Rank()-1]
}
