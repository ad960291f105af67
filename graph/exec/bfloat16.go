package exec

import "github.com/modeldoctor/modeldoctor/graph/op"

// inBFloat16 says of each value that the plan computes, views apart, whether it is
// held in bfloat16: whether it depends on one of Config.BFloat16, and only steps read
// it. What the steps between a sum over the examples and a streamed output compute, a
// weight's gradient that is not complete, stays float32, and so do logits, their
// cotangent and losses. root is the value in whose bytes each one lies.
func (p *Plan) inBFloat16(config Config, root []int) []bool {
	half, exact, gradient := make([]bool, len(p.values)), make([]bool, len(p.values)), make([]bool, len(p.values))
	for _, n := range config.BFloat16 {
		if slot, ok := p.slots[n]; ok {
			half[slot] = true
		}
	}
	for _, n := range p.outputs {
		exact[root[p.slots[n]]] = true
	}
	for _, s := range p.steps {
		for _, in := range s.in {
			half[s.out] = half[s.out] || half[in]
		}
		gradient[root[s.out]] = gradient[root[s.out]] || s.streamed
		switch s.op.(type) {
		case op.Loss, op.LossGradient:
			exact[root[s.out]], exact[root[s.in[0]]] = true, true
		}
	}
	for i := len(p.steps) - 1; i >= 0; i-- {
		s := p.steps[i]
		if !gradient[root[s.out]] || sumsOverExamples(s.op) {
			continue
		}
		for _, in := range s.in {
			gradient[root[in]] = true
		}
	}
	for _, in := range p.inputs {
		half[in.slot] = false
	}
	for _, s := range p.steps {
		float := op.ClassOf(p.values[s.out].Type.DType) == op.ClassFloat32
		half[s.out] = half[s.out] && root[s.out] == s.out && float && !exact[s.out] && !gradient[s.out] &&
			(!selects(s.op) || half[root[s.in[0]]])
	}
	return half
}

// selects reports whether the gradient of an operation, or of what it repeats the
// elements of, looks for its result among the elements of its operand: it is
// rounded only where they are.
func selects(o Operation) bool {
	switch o := o.(type) {
	case op.MaxPool, op.Spread:
		return true
	case op.Reduce:
		return o.By == op.ReduceMax || o.By == op.ReduceMin
	}
	return false
}

// sumsOverExamples reports whether an operation can make a weight's gradient of
// what is none.
func sumsOverExamples(o Operation) bool {
	switch o.(type) {
	case op.Linear, LinearAdd, op.MatMul, op.SumTo, op.Reduce, op.NormalizationGradient, op.BatchNormGradient,
		op.ConvGradient, op.PatchGradient, op.GatherGradient, op.PackedAttentionGradient:
		return true
	}
	return false
}
