package exec_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// The Ops of these tests are their own, so that the executor is tested apart
// from the families of package op.

// sine is sin(x) elementwise; its gradient is times(cosine(x), dout).
type sine struct{ phase float64 }

func (sine) Name() string                        { return "Sine" }
func (sine) Infer(in []op.Type) (op.Type, error) { return in[0], nil }
func (s sine) Forward(_ *kernel.Context, out op.Array, in []op.Array) {
	switch o := out.Data.(type) {
	case []float32:
		for i, x := range op.Elem[float32](in[0]) {
			o[i] = float32(math.Sin(float64(x) + s.phase))
		}
	case []float64:
		for i, x := range op.Elem[float64](in[0]) {
			o[i] = math.Sin(x + s.phase)
		}
	}
}
func (s sine) Gradient(g *op.Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(times{}, g.Do(sine{s.phase + math.Pi/2}, in[0]), dout)}
}

// times is the elementwise product of two FLOAT or DOUBLE arrays.
type times struct{}

func (times) Name() string { return "Times" }
func (times) Infer(in []op.Type) (op.Type, error) {
	if len(in) != 2 || !in[0].Equal(in[1]) {
		return op.Type{}, fmt.Errorf("expected two equal types, found %v", in)
	}
	return in[0], nil
}
func (times) Forward(_ *kernel.Context, out op.Array, in []op.Array) {
	switch o := out.Data.(type) {
	case []float32:
		for i, x := range op.Elem[float32](in[0]) {
			o[i] = x * op.Elem[float32](in[1])[i]
		}
	case []float64:
		for i, x := range op.Elem[float64](in[0]) {
			o[i] = x * op.Elem[float64](in[1])[i]
		}
	}
}
func (times) Gradient(g *op.Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	for i := range grads {
		if need[i] {
			grads[i] = g.Do(times{}, in[1-i], dout)
		}
	}
	return grads
}

// product is op(a)·op(b) of FLOAT matrices, on all threads.
type product struct{ transA, transB bool }

func (product) Name() string { return "Product" }
func (p product) Infer(in []op.Type) (op.Type, error) {
	m, _, n := p.sizes(in[0], in[1])
	return in[0].With(m, n), nil
}
func (p product) sizes(a, b op.Type) (m, k, n int) {
	m, k, n = a.Shape[0], a.Shape[1], b.Shape[1]
	if p.transA {
		m, k = k, m
	}
	if p.transB {
		n = b.Shape[0]
	}
	return m, k, n
}
func (p product) Forward(c *kernel.Context, out op.Array, in []op.Array) {
	m, k, n := p.sizes(in[0].Type, in[1].Type)
	kernel.Gemm(c, p.transA, p.transB, m, n, k, 1, op.Elem[float32](in[0]), in[0].Shape[1],
		op.Elem[float32](in[1]), in[1].Shape[1], 0, op.Elem[float32](out), n)
}
func (p product) Gradient(g *op.Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 2)
	if need[0] {
		grads[0] = g.Do(product{false, true}, dout, in[1])
	}
	if need[1] {
		grads[1] = g.Do(product{true, false}, in[0], dout)
	}
	return grads
}

// shaped is a view under another shape.
type shaped struct{ shape []int }

func (shaped) IsView()                               {}
func (shaped) Name() string                          { return "Shaped" }
func (s shaped) Infer(in []op.Type) (op.Type, error) { return in[0].With(s.shape...), nil }
func (shaped) Forward(_ *kernel.Context, out op.Array, in []op.Array) {
	// Run by Gorgonia's machines only.
	copy(op.Elem[float32](out), op.Elem[float32](in[0]))
}
func (shaped) Gradient(g *op.Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(shaped{g.TypeOf(in[0]).Shape}, dout)}
}

// positive is x > 0 as booleans, count the number of true ones.
type positive struct{}

func (positive) Name() string { return "Positive" }
func (positive) Infer(in []op.Type) (op.Type, error) {
	return op.Type{DType: onnx.Bool, Shape: in[0].Shape}, nil
}
func (positive) Forward(_ *kernel.Context, out op.Array, in []op.Array) {
	for i, x := range op.Elem[float32](in[0]) {
		op.Elem[bool](out)[i] = x > 0
	}
}

type count struct{}

func (count) Name() string                     { return "Count" }
func (count) Infer([]op.Type) (op.Type, error) { return op.Type{DType: onnx.Int64}, nil }
func (count) Forward(_ *kernel.Context, out op.Array, in []op.Array) {
	n := int64(0)
	for _, b := range op.Elem[bool](in[0]) {
		if b {
			n++
		}
	}
	op.Elem[int64](out)[0] = n
}

// sized stands for any operation with a result of the given type: it is
// compiled, never run.
type sized struct{ t op.Type }

func (sized) Name() string                                  { return "Sized" }
func (s sized) Infer([]op.Type) (op.Type, error)            { return s.t, nil }
func (sized) Forward(*kernel.Context, op.Array, []op.Array) { panic("sized is not to be run") }
func (s sized) Gradient(g *op.Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(in))
	for i, n := range in {
		if need[i] {
			grads[i] = g.Do(sized{g.TypeOf(n)}, append([]*gorgonia.Node{dout}, in...)...)
		}
	}
	return grads
}

// nothing costs nothing.
type nothing struct{}

func (nothing) Name() string                                  { return "Nothing" }
func (nothing) Infer(in []op.Type) (op.Type, error)           { return in[0], nil }
func (nothing) Forward(*kernel.Context, op.Array, []op.Array) {}

var errBroken = errors.New("broken")

// broken panics on one of the threads; slow takes 100 s unless it is cancelled.
type broken struct{}

func (broken) Name() string                        { return "Broken" }
func (broken) Infer(in []op.Type) (op.Type, error) { return in[0], nil }
func (broken) Forward(c *kernel.Context, _ op.Array, _ []op.Array) {
	c.Parallel(2, 1, func(lo, _ int) {
		if lo == 1 {
			panic(errBroken)
		}
	})
}
func (broken) Gradient(g *op.Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, _ []bool) []*gorgonia.Node {
	return []*gorgonia.Node{g.Do(broken{}, dout)}
}

type slow struct{ started chan struct{} }

func (slow) Name() string                        { return "Slow" }
func (slow) Infer(in []op.Type) (op.Type, error) { return in[0], nil }
func (s slow) Forward(c *kernel.Context, _ op.Array, _ []op.Array) {
	close(s.started)
	c.Parallel(100_000, 1, func(_, _ int) { time.Sleep(time.Millisecond) })
}

// builder adds nodes to a graph or fails the test.
type builder struct {
	*op.Graph
	t testing.TB
}

func newBuilder(t testing.TB) builder { return builder{op.NewGraph(), t} }

func (b builder) input(name string, shape ...int) *gorgonia.Node {
	return b.Input(name, op.Type{DType: onnx.Float, Shape: shape}, true)
}

func (b builder) apply(o op.Op, in ...*gorgonia.Node) *gorgonia.Node {
	b.t.Helper()
	n, err := b.Apply(o, in...)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b builder) compile(config exec.Config) *exec.Plan {
	b.t.Helper()
	p, err := exec.Compile(b.Graph, config)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// ramp returns a FLOAT array of numbers in [-1, 1) that depend on seed.
func ramp(seed int, shape ...int) op.Array {
	a := op.NewArray(op.Type{DType: onnx.Float, Shape: shape})
	for i := range op.Elem[float32](a) {
		op.Elem[float32](a)[i] = float32((i*37+seed*101)%64)/32 - 1
	}
	return a
}

// evaluate computes a node by plain recursion on fresh memory: the slow, obvious
// machine. It adds what it computes to values.
func evaluate(g *op.Graph, values map[*gorgonia.Node]op.Array, n *gorgonia.Node) op.Array {
	if a, ok := values[n]; ok {
		return a
	}
	var in []op.Array
	for it := g.Expr.From(n.ID()); it != nil && it.Next(); {
		in = append(in, evaluate(g, values, it.Node().(*gorgonia.Node)))
	}
	out := op.NewArray(g.TypeOf(n))
	if a, ok := n.Op().(*op.Applied); ok {
		a.Op.Forward(kernel.NewContext(1), out, in)
	} else {
		for i := range op.Elem[float32](out) {
			op.Elem[float32](out)[i] = op.Elem[float32](in[0])[i] + op.Elem[float32](in[1])[i]
		}
	}
	values[n] = out
	return out
}
