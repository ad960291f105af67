package exec_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Several plans on one machine, of growing size, each rebound between runs.
func TestPlansShareAMachine(t *testing.T) {
	m := exec.NewMachine(kernel.NewContext(1))
	var networks []*network
	var plans []*exec.Plan
	for i := range 4 {
		n := newNetwork(t, 4*(i+1), 7)
		networks, plans = append(networks, n), append(plans, n.bind(n.compile(exec.Config{Outputs: n.outputs()})))
	}
	for round, i := range []int{0, 2, 1, 3, 0, 1, 2} {
		n, p := networks[i], plans[i]
		n.bound[n.x] = ramp(round, 4*(i+1), 7)
		n.bind(p)
		run(t, m, p, nil)
		for _, o := range n.outputs() {
			equal(t, fmt.Sprintf("round %d", round), p.Value(o), n.want(o))
		}
		if m.HoldsOperands() {
			t.Error("the machine holds on to an operand")
		}
		if i == 3 { // the largest: the arena has just grown
			if plans[0].HoldsArena() {
				t.Fatal("a plan holds on to the old arena")
			}
		}
	}
	mustPanic(t, "not the last to run", func() { plans[0].Value(networks[0].out) })
	mustPanic(t, "another machine", func() { exec.NewMachine(kernel.NewContext(1)).Run(context.Background(), plans[0], nil) })
}

func TestCancel(t *testing.T) {
	for _, threads := range []int{1, 2} {
		b := newBuilder(t)
		x := b.Input("x", op.Type{DType: onnx.Float, Shape: []int{4}}, false)
		started := make(chan struct{})
		n := b.apply(slow{started}, x)
		p := b.compile(exec.Config{Streamed: []*gorgonia.Node{n}})
		p.Bind(x, ramp(1, 4))
		ctx, cancel := context.WithCancel(context.Background())
		var cancelled time.Time
		go func() {
			<-started
			cancelled = time.Now()
			cancel()
		}()
		c := kernel.NewContext(threads)
		m := exec.NewMachine(c)
		err := m.Run(ctx, p, func(*gorgonia.Node, op.Array) error { t.Error("garbage was streamed"); return nil })
		if took := time.Since(cancelled); !errors.Is(err, context.Canceled) || took > 100*time.Millisecond {
			t.Errorf("threads %d: error %v, %v after the cancellation", threads, err, took)
		}
		// The machine and its context are as new.
		ran := false
		c.Parallel(1, 1, func(_, _ int) { ran = true })
		if !ran {
			t.Error("the context is still cancelled")
		}
		q := newNetwork(t, 8, 6)
		plan := q.bind(q.compile(exec.Config{Outputs: q.outputs()}))
		run(t, m, plan, nil)
		equal(t, "after a cancelled run", plan.Value(q.out), q.want(q.out))
		if err := m.Run(ctx, plan, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("run under a cancelled context: %v", err)
		}
		mustPanic(t, "failed", func() { plan.Value(q.out) })
	}
}

func TestPanicBecomesStepError(t *testing.T) {
	for _, threads := range []int{1, 2} {
		b := newBuilder(t)
		x := b.input("x", 4)
		y := b.apply(broken{}, x)
		b.SetLabel(y, `node "/fc/Broken" (Broken)`)
		cotangent := b.Input("cotangent", b.TypeOf(y), false)
		grads, err := b.Backpropagate(y, cotangent, []*gorgonia.Node{x})
		if err != nil {
			t.Fatal(err)
		}
		m := exec.NewMachine(kernel.NewContext(threads))
		for _, c := range []struct {
			output *gorgonia.Node
			label  string
		}{{y, `node "/fc/Broken" (Broken)`}, {grads[0], `gradient of node "/fc/Broken" (Broken)`}} {
			p := b.compile(exec.Config{Outputs: []*gorgonia.Node{c.output}})
			for _, in := range p.Inputs() {
				p.Bind(in, ramp(1, 4))
			}
			err := m.Run(context.Background(), p, nil)
			var step *exec.StepError
			if !errors.As(err, &step) || step.Op != "Broken" || step.Node != c.label || !errors.Is(err, errBroken) || len(step.Stack) == 0 {
				t.Errorf("error %#v, want a StepError at %s", err, c.label)
			}
			if want := "Broken at " + c.label + " (result FLOAT[4]): broken"; err != nil && err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
		}
	}
}

func TestMisuse(t *testing.T) {
	n := newNetwork(t, 2, 3)
	p := n.compile(exec.Config{Outputs: []*gorgonia.Node{n.out}})
	m := exec.NewMachine(kernel.NewContext(1))
	if err := m.Run(context.Background(), p, nil); err == nil || !strings.Contains(err.Error(), "no value") {
		t.Errorf("unbound input: %v", err)
	}
	n.bind(p)
	mustPanic(t, "is computed", func() { p.Bind(n.cut, ramp(1, 2, 3)) })
	mustPanic(t, "FLOAT[2 3]", func() { p.Bind(n.x, ramp(1, 3, 2)) })
	mustPanic(t, "[]float32", func() { p.Bind(n.x, op.Array{Type: n.TypeOf(n.x), Data: make([]float32, 5)}) })
	mustPanic(t, "not an output", func() { p.Value(n.cut) })
	mustPanic(t, "not the last to run", func() { p.Value(n.out) })
	streaming := n.bind(n.compile(exec.Config{Streamed: []*gorgonia.Node{n.out}}))
	mustPanic(t, "no sink", func() { m.Run(context.Background(), streaming, nil) })
	mustPanic(t, "in progress", func() {
		m.Run(context.Background(), streaming, func(*gorgonia.Node, op.Array) error { return m.Run(context.Background(), p, nil) })
	})
	mustPanic(t, "streamed", func() { exec.NewVM(m, streaming) })
	run(t, m, p, nil)
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), want) {
			t.Errorf("panic %v, want %q", r, want)
		}
	}()
	f()
}

func TestRunAllocatesNothing(t *testing.T) {
	b := newBuilder(t)
	x := b.input("x", 16)
	y := x
	for i := range 50 {
		y = b.apply(shaped{[]int{4, 4}}, b.apply(shaped{[]int{16}}, b.apply(sine{float64(i)}, y)))
	}
	z := b.apply(times{}, y, y)
	p := b.compile(exec.Config{Outputs: []*gorgonia.Node{y}, Streamed: []*gorgonia.Node{z}})
	m := exec.NewMachine(kernel.NewContext(1))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := ramp(1, 16)
	sink := func(*gorgonia.Node, op.Array) error { return nil }
	allocs := testing.AllocsPerRun(20, func() {
		p.Bind(x, a)
		if err := m.Run(ctx, p, sink); err != nil {
			t.Fatal(err)
		}
		p.Value(y)
	})
	if allocs > 0 {
		t.Errorf("%v allocations per run, want 0", allocs)
	}
}

// BenchmarkOverhead is the time per step outside the Ops.
func BenchmarkOverhead(b *testing.B) {
	g := newBuilder(b)
	x := g.Input("x", op.Type{DType: onnx.Float, Shape: []int{1}}, false)
	y := x
	for range 1000 {
		y = g.apply(nothing{}, y)
	}
	p := g.compile(exec.Config{Outputs: []*gorgonia.Node{y}})
	p.Bind(x, ramp(1, 1))
	m := exec.NewMachine(kernel.NewContext(1))
	for b.Loop() {
		if err := m.Run(context.Background(), p, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/step")
}
