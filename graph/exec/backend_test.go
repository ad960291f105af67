package exec

import (
	"context"
	"errors"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"

	"gorgonia.org/gorgonia"
)

// watched is the host, seen and failed from outside.
type watched struct {
	host
	brought, freed, closed int
	alloc, bring, run      error // what fails
}

func (w *watched) Alloc(bytes int64) (any, error) {
	if w.alloc != nil {
		return nil, w.alloc
	}
	return w.host.Alloc(bytes)
}

func (w *watched) Free(any) { w.freed++ }
func (w *watched) Close()   { w.closed++ }

func (w *watched) Prepare(o op.Op, out op.Type, in []op.Type) Kernel {
	k := w.host.Prepare(o, out, in)
	return func(out op.Array, in []op.Array) error {
		if w.run != nil {
			return w.run
		}
		return k(out, in)
	}
}

func (w *watched) Bring(a op.Array, room *any) (any, error) {
	w.brought++
	return a.Data, w.bring
}

func TestBackend(t *testing.T) {
	b := newBuilder(t)
	x, y := b.input("x", 4), b.input("y", 4)
	z := b.apply(times{}, x, y)
	b.SetLabel(z, "the product")
	p := b.compile(Config{Outputs: []*gorgonia.Node{z}})
	p.Fix(x, ramp(1, 4))
	p.Bind(y, ramp(2, 4))
	broken := errors.New("broken")
	w := &watched{host: host{kernel.NewContext(1)}, alloc: broken}
	m := On(w)
	run := func() error { return m.Run(context.Background(), p, nil) }
	if err := run(); !errors.Is(err, broken) {
		t.Errorf("without an arena: %v", err)
	}
	w.alloc, w.bring = nil, broken
	if err := run(); !errors.Is(err, broken) {
		t.Errorf("without an input: %v", err)
	}
	w.bring, w.run = nil, broken
	var step *StepError
	if err := run(); !errors.As(err, &step) || !errors.Is(err, broken) || step.Node != "the product" {
		t.Errorf("in a step: %v", err)
	}
	mustPanic(t, "failed", func() { p.Value(z) })
	w.run, w.brought = nil, 0
	for range 2 {
		if err := run(); err != nil {
			t.Fatal(err)
		}
	}
	if w.brought != 2 { // y each time, x not again
		t.Errorf("inputs were brought %d times, expected 2", w.brought)
	}
	p.Fix(x, ramp(3, 4))
	if err := run(); err != nil || w.brought != 4 {
		t.Errorf("inputs were brought %d times after another one was fixed, %v", w.brought, err)
	}
	values := map[*gorgonia.Node]op.Array{x: ramp(3, 4), y: ramp(2, 4)}
	equal(t, "product", p.Value(z), evaluate(b.Graph, values, z))
	if m.Close(); w.freed != 1 || w.closed != 1 {
		t.Errorf("%d arenas were freed, the backend was closed %d times", w.freed, w.closed)
	}
}
