package exec

import "gorgonia.org/gorgonia"

// StepNames are the names of the operations of a plan, in order.
func (p *Plan) StepNames() (names []string) {
	for _, s := range p.steps {
		names = append(names, s.op.Name())
	}
	return names
}

// IsFactor reports whether a plan says of a node's value that only products read it.
func (p *Plan) IsFactor(n *gorgonia.Node) bool { return p.factor[p.slots[n]] }

// HoldsArena reports whether a plan refers to an arena.
func (p *Plan) HoldsArena() bool {
	for _, s := range p.steps {
		if p.values[s.out].Data != nil {
			return true
		}
	}
	return false
}

// HoldsOperands reports whether a machine refers to operands of a step.
func (m *Machine) HoldsOperands() bool {
	for _, a := range m.operands {
		if a.Data != nil {
			return true
		}
	}
	return false
}
