package exec

import (
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// LinearGELU is an op.Linear and an op.GELU of its result, in one step: the first
// half of a Transformer's MLP. Its operands are those of the Linear. [Compile] makes
// one for the host (Config.OnHost) where nothing else reads the Linear's result.
type LinearGELU struct {
	op.Linear
	GELU op.GELU
}

// Name is that of both.
func (o LinearGELU) Name() string { return o.Linear.Name() + " + " + o.GELU.Name() }

// Forward computes the same bits as one after the other.
func (o LinearGELU) Forward(c *kernel.Context, out op.Array, in []op.Array) {
	o.Linear.ForwardGELU(c, out, in, o.GELU)
}

// joinGELUs makes a LinearGELU of each Linear and the GELU that alone reads its
// result, perhaps by way of views. It takes the place of the Linear.
func (p *Plan) joinGELUs() {
	u := p.uses()
	gone := make([]bool, len(p.steps))
	for j, s := range p.steps {
		gelu, ok := s.op.(op.GELU)
		if !ok {
			continue
		}
		i, views, ok := p.source(u, s.in[0])
		if !ok {
			continue
		}
		if linear, ok := p.steps[i].op.(op.Linear); ok {
			s.op, s.in = LinearGELU{linear, gelu}, p.steps[i].in
			p.steps[i] = s
			for _, v := range append(views, j) {
				gone[v] = true
			}
		}
	}
	p.remove(gone)
}
