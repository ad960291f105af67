package exec

import "gorgonia.org/gorgonia"

// StepNames are the names of the operations of a plan, in order.
func (p *Plan) StepNames() (names []string) {
	for _, s := range p.steps {
		names = append(names, s.op.Name())
	}
	return names
}

// InBFloat16 reports whether a plan holds a node's value in bfloat16.
func (p *Plan) InBFloat16(n *gorgonia.Node) bool { return p.bfloat16[p.slots[n]] }

// Computed are the nodes that the steps of a plan compute, in order, but for views.
func (p *Plan) Computed() (nodes []*gorgonia.Node) {
	for _, s := range p.steps {
		if _, ok := s.op.(view); !ok {
			nodes = append(nodes, s.node)
		}
	}
	return nodes
}

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

// ImageRun is an imageRun, as names of its steps and the number of groups.
type ImageRun struct {
	Steps  []string
	Groups int
}

// ImageRuns are the runs of a plan that are computed by groups of images.
func (p *Plan) ImageRuns() (runs []ImageRun) {
	names := p.StepNames()
	for i, s := range p.steps {
		if s.run != nil && s.run.first == i {
			runs = append(runs, ImageRun{names[i : s.run.last+1], s.run.groups})
		}
	}
	return runs
}
