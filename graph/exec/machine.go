package exec

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
	"weak"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"

	"gorgonia.org/gorgonia"
)

// Machine runs plans, one at a time. It owns one arena, as large as the largest
// plan it has run.
type Machine struct {
	// Profile, if not nil, is told the time that each step took. A device that returns
	// from a step before it is done has no such times.
	Profile *Profile

	device     Device
	arena      Arena                // nil before the first run
	bytes      int64                // of the arena
	generation int                  // counts the arenas, from 1
	attached   []weak.Pointer[Plan] // the plans whose values view this arena
	operands   []op.Array           // of the step that runs
	runs       uint64               // counts the runs
	running    atomic.Bool
}

// NewMachine returns a machine on the host that computes with c, which it has to
// itself during a run.
func NewMachine(c *kernel.Context) *Machine { return NewMachineOn(NewKernels(c)) }

// NewMachineOn returns a machine on any device.
func NewMachineOn(d Device) *Machine { return &Machine{device: d} }

// Sink receives a streamed output. The array is valid during the call. An error
// ends the run.
type Sink func(n *gorgonia.Node, a op.Array) error

// Run computes the plan's outputs from what is bound. sink may be nil for a plan
// without streamed outputs; it must not call Run on the machine.
//
// When ctx is done the run ends with its error, having given no unfinished result
// to the sink. Other errors: an input that is not bound, a [*StepError], the error
// of the sink as it is.
func (m *Machine) Run(ctx context.Context, p *Plan, sink Sink) error {
	if !m.running.CompareAndSwap(false, true) {
		panic("exec: Run: a run is in progress on this machine")
	}
	defer m.running.Store(false)
	if p.streamed && sink == nil {
		panic("exec: Run: the plan has streamed outputs but there is no sink")
	}
	if p.machine != nil && p.machine != m {
		panic("exec: Run: the plan belongs to another machine")
	}
	m.runs++
	p.run = 0
	for _, in := range p.inputs {
		if p.values[in.slot].Data == nil {
			return fmt.Errorf("exec: input %v has no value", in.node)
		}
	}
	if err := m.attach(p); err != nil {
		return err
	}
	defer clear(m.operands[:p.arity])
	m.device.SetCancel(ctx.Done())
	defer m.device.SetCancel(nil)
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, in := range p.inputs {
		if in.streamed {
			if err := sink(in.node, p.values[in.slot]); err != nil {
				return err
			}
		}
	}
	for i := 0; i < len(p.steps); i++ {
		s := &p.steps[i]
		if s.run != nil {
			if err := m.runGroups(ctx, p, s.run); err != nil {
				return err
			}
			i = s.run.last
			continue
		}
		if err := m.step(p, s, 0); err != nil {
			return err
		}
		// Now, not before the step: a kernel that was cut short left garbage.
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.streamed {
			if err := sink(s.node, p.values[s.out]); err != nil {
				return err
			}
		}
	}
	p.run = m.runs
	return nil
}

// step computes one value, or that of a group of images.
func (m *Machine) step(p *Plan, s *step, group int) (err error) {
	if _, ok := s.op.(view); ok {
		// At each run anew: the parent may be bound to another array.
		p.values[s.out].Data = p.values[s.in[0]].Data
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			err = p.failed(s, cause, debug.Stack())
		}
	}()
	operands := m.operands[:len(s.in)]
	for i := range operands {
		operands[i] = p.operand(s, i, group)
	}
	var start time.Time
	if m.Profile != nil {
		start = time.Now()
	}
	if err := m.device.Forward(s.op, p.operand(s, len(s.in), group), operands); err != nil {
		return p.failed(s, err, nil)
	}
	if m.Profile != nil {
		m.Profile.add(s, operands, time.Since(start), group)
	}
	return nil
}

// failed is the error of a step.
func (p *Plan) failed(s *step, cause error, stack []byte) error {
	return &StepError{s.op.Name(), p.graph.Label(s.node), p.values[s.out].Type, cause, stack}
}

// attach makes the plan's values view the machine's arena, which grows if need
// be.
func (m *Machine) attach(p *Plan) error {
	if len(m.operands) < p.arity {
		m.operands = make([]op.Array, p.arity)
	}
	if m.arena == nil || m.bytes < p.arena {
		// The old arena is let go of first, so that both need not be in memory at
		// once.
		for _, w := range m.attached {
			if q := w.Value(); q != nil {
				q.detach()
			}
		}
		if m.arena != nil {
			m.arena.Free()
		}
		m.attached, m.arena = nil, nil
		arena, err := m.device.Arena(p.arena)
		if err != nil {
			return fmt.Errorf("exec: an arena of %d bytes: %w", p.arena, err)
		}
		m.arena, m.bytes = arena, p.arena
		m.generation++
	}
	if p.generation == m.generation {
		return nil
	}
	for i, slot := range p.owners {
		p.values[slot].Data = m.arena.Data(p.values[slot].Type, p.buffers[i].offset, p.bfloat16[slot])
	}
	p.machine, p.generation = m, m.generation
	m.attached = append(m.attached, weak.Make(p))
	return nil
}

// Close gives the arena back. Plans that have run can run again.
func (m *Machine) Close() {
	for _, w := range m.attached {
		if p := w.Value(); p != nil {
			p.detach()
		}
	}
	if m.arena != nil {
		m.arena.Free()
	}
	m.attached, m.arena, m.bytes = nil, nil, 0
}

// detach lets go of the arena.
func (p *Plan) detach() {
	for _, s := range p.steps {
		p.values[s.out].Data = nil
		if s.run != nil {
			s.run.forget()
		}
	}
	p.generation, p.run = 0, 0
}
