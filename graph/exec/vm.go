package exec

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// VM runs one plan as a gorgonia.VM, for code written against Gorgonia's
// interface: values pass through the graph's nodes. The program itself uses Machine.
type VM struct {
	machine *Machine
	plan    *Plan
}

var _ gorgonia.VM = (*VM)(nil)

// NewVM returns a VM that runs p on m. Streamed outputs have no place in
// Gorgonia's interface: a plan that has some panics.
func NewVM(m *Machine, p *Plan) *VM {
	if p.streamed {
		panic("exec: NewVM: the plan has streamed outputs")
	}
	return &VM{m, p}
}

// RunAll takes the inputs from their nodes (set them with gorgonia.Let, or
// gorgonia.UnsafeLet for feeds) and leaves a copy of each output in its node.
func (v *VM) RunAll() error {
	for _, in := range v.plan.inputs {
		value := in.node.Value()
		if value == nil {
			return fmt.Errorf("exec: input %v has no value", in.node)
		}
		v.plan.Bind(in.node, op.Array{Type: v.plan.values[in.slot].Type, Data: value.Data()})
	}
	if err := v.machine.Run(context.Background(), v.plan, nil); err != nil {
		return err
	}
	for _, n := range v.plan.outputs {
		result := tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(v.plan.Value(n).Data))
		if err := gorgonia.UnsafeLet(n, result.Clone()); err != nil {
			return fmt.Errorf("exec: output %v: %w", n, err)
		}
	}
	return nil
}

// Reset does nothing: a plan can be run again at once.
func (v *VM) Reset() {}

// Close does nothing.
func (v *VM) Close() error { return nil }
