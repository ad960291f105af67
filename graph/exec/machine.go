package exec

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"
	"weak"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"

	"gorgonia.org/gorgonia"
)

// Machine runs plans, one at a time. It owns one arena, as large as the largest
// plan it has run.
type Machine struct {
	// Profile, if not nil, is told the time that each step took.
	Profile func(op string, d time.Duration)

	context    *kernel.Context
	arena      []byte
	generation int                  // counts the arenas, from 1
	attached   []weak.Pointer[Plan] // the plans whose values view this arena
	operands   []op.Array           // of the step that runs
	runs       uint64               // counts the runs
	running    atomic.Bool
}

// NewMachine returns a machine that computes with c, which it has to itself
// during a run.
func NewMachine(c *kernel.Context) *Machine { return &Machine{context: c} }

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
	m.attach(p)
	defer clear(m.operands[:p.arity])
	m.context.SetCancel(ctx.Done())
	defer m.context.SetCancel(nil)
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
	for i := range p.steps {
		s := &p.steps[i]
		if err := m.step(p, s); err != nil {
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

// step computes one value.
func (m *Machine) step(p *Plan, s *step) (err error) {
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
			err = &StepError{s.op.Name(), p.graph.Label(s.node), p.values[s.out].Type, cause, debug.Stack()}
		}
	}()
	operands := m.operands[:len(s.in)]
	for i, slot := range s.in {
		operands[i] = p.values[slot]
	}
	if m.Profile == nil {
		s.op.Forward(m.context, p.values[s.out], operands)
		return nil
	}
	start := time.Now()
	s.op.Forward(m.context, p.values[s.out], operands)
	m.Profile(s.op.Name(), time.Since(start))
	return nil
}

// attach makes the plan's values view the machine's arena, which grows if need
// be.
func (m *Machine) attach(p *Plan) {
	if len(m.operands) < p.arity {
		m.operands = make([]op.Array, p.arity)
	}
	if m.arena == nil || int64(len(m.arena)) < p.arena {
		// The old arena is let go of first, so that both need not be in memory at
		// once.
		for _, w := range m.attached {
			if q := w.Value(); q != nil {
				q.detach()
			}
		}
		m.attached, m.arena = nil, nil
		m.arena = alignedBytes(p.arena)
		m.generation++
	}
	if p.generation == m.generation {
		return
	}
	for i, slot := range p.owners {
		p.values[slot].Data = arrayData(p.values[slot].Type, m.arena[p.buffers[i].offset:][:p.buffers[i].size])
	}
	p.machine, p.generation = m, m.generation
	m.attached = append(m.attached, weak.Make(p))
}

// detach lets go of the arena.
func (p *Plan) detach() {
	for _, s := range p.steps {
		p.values[s.out].Data = nil
	}
	p.generation, p.run = 0, 0
}

// alignedBytes allocates n bytes at an address that is a multiple of alignment.
func alignedBytes(n int64) []byte {
	b := make([]byte, n+alignment)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % alignment
	return b[skip:][:n:n]
}

// arrayData returns memory, which is aligned, as the elements of an array of type
// t. Their content is undefined: an Op overwrites its whole result.
func arrayData(t op.Type, memory []byte) any {
	start, n := unsafe.Pointer(unsafe.SliceData(memory)), t.Elements()
	switch op.ClassOf(t.DType) {
	case op.ClassFloat32:
		return unsafe.Slice((*float32)(start), n)
	case op.ClassFloat64:
		return unsafe.Slice((*float64)(start), n)
	case op.ClassInt:
		return unsafe.Slice((*int64)(start), n)
	case op.ClassBool:
		return unsafe.Slice((*bool)(start), n)
	}
	panic(fmt.Sprintf("exec: no memory for %v", t)) // Compile refuses such types
}
