package exec

import (
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
	last := len(in) - 1
	o.Linear.Forward(c, out, in[:last])
	switch out.Data.(type) {
	case []float32:
		kernel.Add(c, op.Elem[float32](out), op.Elem[float32](in[last]), op.Elem[float32](out))
	case []float64:
		kernel.Add(c, op.Elem[float64](out), op.Elem[float64](in[last]), op.Elem[float64](out))
	}
}

// joinAdditions makes a LinearAdd of each Linear and the Add that alone reads its
// result, if what is added is there before the Linear runs. It takes the place of
// the Linear, so that nothing lives longer than before.
func (p *Plan) joinAdditions() {
	const notComputed = -1 // an input, which is there from the start
	readers, computedBy := make([]int, len(p.values)), make([]int, len(p.values))
	for slot := range computedBy {
		computedBy[slot] = notComputed
	}
	for _, n := range p.outputs {
		readers[p.slots[n]]++
	}
	for i, s := range p.steps {
		computedBy[s.out] = i
		if s.streamed {
			readers[s.out]++
		}
		for _, in := range s.in {
			readers[in]++
		}
	}
	joined := make([]bool, len(p.steps))
	for j, s := range p.steps {
		if _, ok := s.op.(op.Add); !ok {
			continue
		}
		for k, slot := range s.in {
			i, added := computedBy[slot], s.in[1-k]
			if i == notComputed || readers[slot] != 1 || computedBy[added] >= i {
				continue
			}
			linear, ok := p.steps[i].op.(op.Linear)
			if !ok || !p.values[slot].Type.Equal(p.values[added].Type) {
				continue
			}
			s.op, s.in = LinearAdd{linear}, append(p.steps[i].in, added)
			p.steps[i] = s
			computedBy[s.out], joined[j] = i, true
			break
		}
	}
	steps := p.steps[:0]
	for j, s := range p.steps {
		if !joined[j] {
			steps = append(steps, s)
			p.arity = max(p.arity, len(s.in))
		}
	}
	p.steps = steps
}
