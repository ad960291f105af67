package exec

import "github.com/modeldoctor/modeldoctor/graph/op"

// factors says of each value that the plan computes whether products read it, as
// a factor, and nobody else does, sums of the cotangents of what was broadcast (a
// bias) apart: a device whose products round their factors may then hold it
// rounded. root is the value in whose bytes each one lies.
func (p *Plan) factors(root []int) []bool {
	read, otherwise := make([]bool, len(p.values)), make([]bool, len(p.values))
	for _, s := range p.steps {
		if s.streamed {
			otherwise[root[s.out]] = true
		}
		switch s.op.(type) {
		case view: // whoever reads it reads the root
			continue
		case op.SumTo:
			continue
		}
		for k, in := range s.in {
			if isFactor(s.op, k) {
				read[root[in]] = true
			} else {
				otherwise[root[in]] = true
			}
		}
	}
	for _, n := range p.outputs {
		otherwise[root[p.slots[n]]] = true
	}
	for slot := range read {
		read[slot] = read[slot] && !otherwise[slot]
	}
	return read
}

// isFactor reports whether operand k of an operation is a factor of a product.
func isFactor(o Operation, k int) bool {
	switch o.(type) {
	case op.Linear, LinearAdd, op.MatMul:
		return k < 2
	}
	return false
}
