package exec_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// network is two branches that meet, with views, a shared input and sums of
// cotangents: y = sin(x·w) ⊙ (x·w reshaped twice), z = y·v + the like.
type network struct {
	builder
	x, w, v, cut, out, cotangent *gorgonia.Node
	grads                        []*gorgonia.Node // of x, w, v
	bound                        map[*gorgonia.Node]op.Array
}

func newNetwork(t testing.TB, rows, dim int) *network {
	n := &network{builder: newBuilder(t)}
	n.x, n.w, n.v = n.input("x", rows, dim), n.input("w", dim, dim), n.input("v", dim, dim)
	h := n.apply(product{}, n.x, n.w)
	flat := n.apply(shaped{[]int{rows * dim}}, h)
	back := n.apply(shaped{[]int{rows, dim}}, n.apply(sine{}, flat))
	n.cut = n.apply(times{}, back, h)
	u := n.apply(product{}, n.cut, n.v)
	n.out = n.apply(times{}, u, n.apply(times{}, n.cut, n.x))
	n.cotangent = n.Input("cotangent", n.TypeOf(n.out), false)
	var err error
	if n.grads, err = n.Backpropagate(n.out, n.cotangent, []*gorgonia.Node{n.x, n.w, n.v}); err != nil {
		t.Fatal(err)
	}
	n.bound = map[*gorgonia.Node]op.Array{
		n.x: ramp(1, rows, dim), n.w: ramp(2, dim, dim), n.v: ramp(3, dim, dim), n.cotangent: ramp(4, rows, dim),
	}
	return n
}

// bind binds every input of p, which is run on the host.
func (n *network) bind(p *exec.Plan) *exec.Plan { return n.bindOn(testdevice.Backend{}, p) }

func (n *network) bindOn(on testdevice.Backend, p *exec.Plan) *exec.Plan {
	for _, in := range p.Inputs() {
		p.Bind(in, shared(n.t, on, n.bound[in]))
	}
	return p
}

func (n *network) outputs() []*gorgonia.Node { return append([]*gorgonia.Node{n.out}, n.grads...) }

// want returns what plain recursion computes.
func (n *network) want(node *gorgonia.Node) op.Array {
	values := map[*gorgonia.Node]op.Array{}
	for k, v := range n.bound {
		values[k] = v
	}
	return evaluate(n.Graph, values, node)
}

func equal(t *testing.T, what string, got, want op.Array) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s differs bit for bit (-want +got):\n%s", what, d)
	}
}

// newMachine returns a machine of a backend, where a host has so many threads.
func newMachine(on testdevice.Backend, threads int) *exec.Machine {
	if on.OnHost() {
		return exec.NewMachine(kernel.NewContext(threads))
	}
	return exec.NewMachineOn(on.Device)
}

// shared is a host's array where a backend reads it.
func shared(t testing.TB, on testdevice.Backend, a op.Array) op.Array {
	t.Helper()
	if on.OnHost() {
		return a
	}
	b, err := on.Device.Share(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// agree compares a backend's array with the host's: bit for bit on the host.
func agree(t *testing.T, on testdevice.Backend, what string, got, want op.Array) {
	t.Helper()
	if on.OnHost() {
		equal(t, what, got, want)
		return
	}
	testdevice.CloseTo(t, what, optest.Download(t, on, got).AsFloats(), want.AsFloats(), testdevice.OperationOnDevice)
}

func run(t *testing.T, m *exec.Machine, p *exec.Plan, sink exec.Sink) {
	t.Helper()
	if err := m.Run(context.Background(), p, sink); err != nil {
		t.Fatal(err)
	}
}

func TestRunAgreesWithPlainRecursion(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, threads := range []int{1, 2, 4} {
			n := newNetwork(t, 70, 40) // large enough that products are split
			p := n.bindOn(on, n.compile(exec.Config{Outputs: n.outputs()}))
			m := newMachine(on, threads)
			defer m.Close()
			for range 2 {
				run(t, m, p, nil)
				for i, o := range n.outputs() {
					agree(t, on, fmt.Sprintf("threads %d: output %d", threads, i), p.Value(o), n.want(o))
				}
			}
		}
	})
}

// Gorgonia's TapeMachine, and the VM adapter in its place.
func TestVM(t *testing.T) {
	n := newNetwork(t, 5, 3)
	p := n.compile(exec.Config{Outputs: n.outputs()})
	for name, vm := range map[string]gorgonia.VM{
		"TapeMachine": gorgonia.NewTapeMachine(n.Expr),
		"VM":          exec.NewVM(exec.NewMachine(kernel.NewContext(1)), p),
	} {
		for in, a := range n.bound {
			if err := gorgonia.Let(in, tensor.New(tensor.WithShape(a.Shape...), tensor.WithBacking(a.Data))); err != nil {
				t.Fatal(err)
			}
		}
		if err := vm.RunAll(); err != nil {
			t.Fatal(name, err)
		}
		vm.Reset()
		for i, o := range n.outputs() {
			equal(t, fmt.Sprintf("%s: output %d", name, i), op.Array{Type: n.TypeOf(o), Data: o.Value().Data()}, n.want(o))
			if err := gorgonia.UnsafeLet(o, tensor.New(tensor.WithShape(n.TypeOf(o).Shape...), tensor.Of(tensor.Float32))); err != nil {
				t.Fatal(err) // so that the other machine starts from zeros
			}
		}
		if err := vm.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFeedInTheMiddle(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		n := newNetwork(t, 8, 6)
		n.bound[n.cut] = n.want(n.cut)
		p := n.bindOn(on, n.compile(exec.Config{Outputs: []*gorgonia.Node{n.out, n.grads[2]}, Feeds: []*gorgonia.Node{n.cut, n.w}}))
		if got, want := p.Inputs(), []*gorgonia.Node{n.x, n.v, n.cut, n.cotangent}; !slices.Equal(got, want) {
			t.Errorf("inputs %v, want %v: nothing below the cut", got, want)
		}
		p.Bind(n.w, op.Array{}) // not needed: ignored
		m := newMachine(on, 1)
		defer m.Close()
		m.Profile = &exec.Profile{}
		run(t, m, p, nil)
		delete(n.bound, n.cut)
		agree(t, on, "out", p.Value(n.out), n.want(n.out))
		agree(t, on, "gradient", p.Value(n.grads[2]), n.want(n.grads[2]))
		ran := map[string]int{}
		for _, w := range m.Profile.Work() {
			if w.Time < 0 || w.FLOPs != 0 {
				t.Errorf("%+v", w)
			}
			ran[fmt.Sprint(w.Op, w.Gradient)] = w.Calls
		}
		if want := map[string]int{"Productfalse": 1, "Timesfalse": 2, "Timestrue": 1, "Producttrue": 1}; !maps.Equal(ran, want) {
			t.Errorf("ran %v, want %v", ran, want)
		}
	})
}

func TestStreamed(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		n := newNetwork(t, 8, 6)
		view := n.apply(shaped{[]int{48}}, n.x)
		fed := n.apply(sine{}, n.x)
		n.bound[fed] = ramp(9, 8, 6)
		streamed := append([]*gorgonia.Node{view, fed, n.x, n.out}, n.grads...)
		p := n.bindOn(on, n.compile(exec.Config{Outputs: []*gorgonia.Node{n.out}, Streamed: append(streamed, n.grads...), Feeds: []*gorgonia.Node{fed}}))
		got := map[*gorgonia.Node]op.Array{}
		m := newMachine(on, 2)
		defer m.Close()
		run(t, m, p, func(node *gorgonia.Node, a op.Array) error {
			if _, twice := got[node]; twice {
				t.Errorf("%v came twice", node)
			}
			a = optest.Download(t, on, a)
			got[node] = op.Array{Type: a.Type, Data: slices.Clone(op.Elem[float32](a))}
			return nil
		})
		for i, node := range streamed {
			equal(t, fmt.Sprint("streamed ", i), got[node], n.want(node)) // these operations are computed by the host everywhere
		}
		agree(t, on, "kept as well", p.Value(n.out), n.want(n.out))

		stop := errors.New("stop")
		if err := m.Run(context.Background(), p, func(*gorgonia.Node, op.Array) error { return stop }); err != stop {
			t.Errorf("error %v, want the sink's", err)
		}
	})
}

// A result that is handed over and forgotten must not stay alive.
func TestStreamedAreNotKept(t *testing.T) {
	b := newBuilder(t)
	x := b.input("x", 1024)
	var results []*gorgonia.Node
	for i := range 10 {
		results = append(results, b.apply(sine{float64(i)}, x))
	}
	streamed, kept := b.compile(exec.Config{Streamed: results}), b.compile(exec.Config{Outputs: results})
	if streamed.ArenaBytes() != 4096 || kept.ArenaBytes() != 40960 {
		t.Errorf("arena %d bytes streamed and %d kept, want 4096 and 40960", streamed.ArenaBytes(), kept.ArenaBytes())
	}
}

func TestElementTypes(t *testing.T) {
	b := newBuilder(t)
	x := b.input("x", 3, 50)
	d := b.Input("d", op.Type{DType: onnx.Double, Shape: []int{}}, false)
	empty := b.input("empty", 0, 4)
	outputs := []*gorgonia.Node{
		b.apply(count{}, b.apply(positive{}, b.apply(sine{}, x))),
		b.apply(positive{}, x),
		b.apply(sine{}, d),
		b.apply(sine{}, empty),
	}
	p := b.compile(exec.Config{Outputs: outputs})
	values := map[*gorgonia.Node]op.Array{x: ramp(5, 3, 50), d: {Type: b.TypeOf(d), Data: []float64{0.5}}, empty: ramp(0, 0, 4)}
	for n, a := range values {
		p.Bind(n, a)
	}
	run(t, exec.NewMachine(kernel.NewContext(1)), p, nil)
	for i, o := range outputs {
		equal(t, fmt.Sprint("output ", i), p.Value(o), evaluate(b.Graph, values, o))
	}
}

// FuzzRun: on any graph, with any outputs and feeds, the plan computes the bits
// that plain recursion computes.
func FuzzRun(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	m := exec.NewMachine(kernel.NewContext(1)) // shared, so that arenas are reused
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 2))
		b := newBuilder(t)
		sizes := []int{1, 20, 400}
		var nodes []*gorgonia.Node
		values := map[*gorgonia.Node]op.Array{}
		for i, size := range sizes {
			n := b.input(fmt.Sprint("x", i), size)
			nodes, values[n] = append(nodes, n), ramp(i, size)
		}
		var config exec.Config
		for i := range 1 + r.IntN(60) {
			a := nodes[r.IntN(len(nodes))]
			same := slices.DeleteFunc(slices.Clone(nodes), func(n *gorgonia.Node) bool { return !b.TypeOf(n).Equal(b.TypeOf(a)) })
			var n *gorgonia.Node
			switch r.IntN(3) {
			case 0:
				n = b.apply(sine{float64(i)}, a)
			case 1:
				n = b.apply(times{}, a, same[r.IntN(len(same))])
			default:
				n = b.apply(shaped{[]int{b.TypeOf(a).Elements()}}, a)
			}
			nodes = append(nodes, n)
		}
		for i, n := range nodes {
			if r.IntN(8) == 0 {
				config.Feeds = append(config.Feeds, n)
				values[n] = ramp(100+i, b.TypeOf(n).Shape...)
			}
			switch r.IntN(8) {
			case 0:
				config.Outputs = append(config.Outputs, n)
			case 1:
				config.Streamed = append(config.Streamed, n)
			}
		}
		config.Outputs = append(config.Outputs, nodes[len(nodes)-1])
		p := b.compile(config)
		for _, n := range p.Inputs() {
			p.Bind(n, values[n])
		}
		streamed := 0
		run(t, m, p, func(n *gorgonia.Node, a op.Array) error {
			streamed++
			equal(t, "streamed", a, evaluate(b.Graph, values, n))
			return nil
		})
		for _, n := range config.Outputs {
			equal(t, "output", p.Value(n), evaluate(b.Graph, values, n))
		}
		if streamed != len(config.Streamed) || p.ArenaBytes() < p.LiveBytes() {
			t.Errorf("%d streamed of %d; arena %d, bound %d", streamed, len(config.Streamed), p.ArenaBytes(), p.LiveBytes())
		}
	})
}

func TestCompileErrors(t *testing.T) {
	b := newBuilder(t)
	x := b.input("x", 4)
	foreign, err := gorgonia.Tanh(x)
	if err != nil {
		t.Fatal(err)
	}
	huge := b.apply(sized{op.Type{DType: onnx.Float, Shape: []int{1 << 30, 1 << 30, 1 << 30}}}, x)
	other := newBuilder(t)
	stranger := other.apply(sine{}, other.input("x", 4))
	for _, c := range []struct {
		name   string
		output []*gorgonia.Node
		want   string
	}{
		{"foreign operation", []*gorgonia.Node{foreign}, "tanh"},
		{"huge result", []*gorgonia.Node{huge}, "too large"},
		{"other graph", []*gorgonia.Node{stranger}, "not of this graph"},
		{"nil", []*gorgonia.Node{nil}, "not of this graph"},
		{"no output", nil, "needs an output"},
	} {
		if _, err := exec.Compile(b.Graph, exec.Config{Outputs: c.output}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	// Dead code does no harm.
	b.compile(exec.Config{Outputs: []*gorgonia.Node{b.apply(sine{}, x)}})
}
