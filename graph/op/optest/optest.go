// Package optest checks operations: on the host gradients against finite differences and
// float32 against float64, on a device everything against the host.
package optest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// gradientTolerance is that of float64 gradients against central differences of step
// 1e-5, whose own error is about 1e-10 for functions of unit scale.
const gradientTolerance = 1e-7

// Evaluate computes nodes of a graph by plain recursion: the slow, obvious
// machine that the executor is compared with.
func Evaluate(t testing.TB, g *op.Graph, feeds map[*gorgonia.Node]op.Array, nodes ...*gorgonia.Node) []op.Array {
	t.Helper()
	return evaluate(g, feeds, func(op.Op, op.Array, []op.Array) {}, nodes)
}

// evaluate tells each of every operation that it has computed.
func evaluate(g *op.Graph, feeds map[*gorgonia.Node]op.Array, each func(o op.Op, out op.Array, in []op.Array), nodes []*gorgonia.Node) []op.Array {
	c := kernel.NewContext(1)
	memo := map[*gorgonia.Node]op.Array{}
	var value func(n *gorgonia.Node) op.Array
	value = func(n *gorgonia.Node) op.Array {
		if a, ok := memo[n]; ok {
			return a
		}
		if a, ok := feeds[n]; ok {
			return a
		}
		var in []op.Array
		for it := g.Expr.From(n.ID()); it != nil && it.Next(); {
			in = append(in, value(it.Node().(*gorgonia.Node)))
		}
		var o op.Op = op.Add{} // the sum that Gorgonia inserts where cotangents meet
		if a, ok := n.Op().(*op.Applied); ok {
			o = a.Op
		}
		out := op.NewArray(g.TypeOf(n))
		o.Forward(c, out, in)
		each(o, out, in)
		memo[n] = out
		return out
	}
	var out []op.Array
	for _, n := range nodes {
		out = append(out, value(n))
	}
	return out
}

// Random returns the generator of the tests' numbers, the same at every run.
func Random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// Normal returns a DOUBLE array of standard normal numbers.
func Normal(r *rand.Rand, shape ...int) op.Array {
	a := op.NewArray(op.Type{DType: onnx.Double, Shape: shape})
	for i := range op.Elem[float64](a) {
		op.Elem[float64](a)[i] = r.NormFloat64()
	}
	return a
}

// Positive returns a DOUBLE array of numbers in [0.5, 2).
func Positive(r *rand.Rand, shape ...int) op.Array {
	a := op.NewArray(op.Type{DType: onnx.Double, Shape: shape})
	for i := range op.Elem[float64](a) {
		op.Elem[float64](a)[i] = 0.5 + 1.5*r.Float64()
	}
	return a
}

// Float32 rounds a DOUBLE array to FLOAT and leaves others as they are.
func Float32(a op.Array) op.Array {
	if d, ok := a.Data.([]float64); ok {
		f := make([]float32, len(d))
		for i, x := range d {
			f[i] = float32(x)
		}
		return op.Floats(f, a.Shape...)
	}
	return a
}

// Gradient checks an operation and the gradient of <o(inputs), cotangent>, for a random
// cotangent. On the host the gradient is compared with central differences in float64,
// for every DOUBLE input at once and for each alone (so that every combination of needs
// that matters is built), and the float32 forward result with the float64 one. On a
// device every operation that is computed for them, in float32, is compared with the host's
// result of the same operands.
func Gradient(t *testing.T, on testdevice.Backend, o op.Op, inputs ...op.Array) {
	t.Helper()
	ProgramGradient(t, on, func(p *op.Program, in []*op.Value) (*op.Value, error) { return p.Emit(o, in...) }, inputs...)
}

// ProgramGradient is Gradient for a chain of Ops.
func ProgramGradient(t *testing.T, on testdevice.Backend, build func(p *op.Program, in []*op.Value) (*op.Value, error), inputs ...op.Array) {
	t.Helper()
	var floats []int
	for i, a := range inputs {
		if a.DType == onnx.Double {
			floats = append(floats, i)
		}
	}
	if !on.OnHost() {
		single := make([]op.Array, len(inputs))
		for i, a := range inputs {
			single[i] = Float32(a)
		}
		g := differentiate(t, build, single, floats)
		evaluate(g.graph, g.feeds, func(o op.Op, out op.Array, in []op.Array) { Compare(t, on, o, out, in...) }, append(g.grads, g.out))
		return
	}
	sets := [][]int{floats}
	if len(floats) > 1 {
		for _, i := range floats {
			sets = append(sets, []int{i})
		}
	}
	for _, wanted := range sets {
		d := differentiate(t, build, inputs, wanted)
		g, feeds, out, cotangent := d.graph, d.feeds, d.out, d.cotangent
		got := Evaluate(t, g, feeds, d.grads...)
		loss := func() float64 {
			y := op.Elem[float64](Evaluate(t, g, feeds, out)[0])
			s := 0.0
			for i, c := range op.Elem[float64](feeds[cotangent]) {
				s += c * y[i]
			}
			return s
		}
		const h = 1e-5
		for k, i := range wanted {
			x := op.Elem[float64](inputs[i])
			want := make([]float64, len(x))
			for j := range x {
				x0 := x[j]
				x[j] = x0 + h
				up := loss()
				x[j] = x0 - h
				down := loss()
				x[j] = x0
				want[j] = (up - down) / (2 * h)
			}
			testdevice.CloseTo(t, fmt.Sprintf("gradient of input %d of %d", i, len(wanted)), got[k].AsFloats(), want, gradientTolerance)
		}
		if len(wanted) == len(floats) {
			checkFloat32(t, build, inputs, Evaluate(t, g, feeds, out)[0].AsFloats())
		}
	}
}

// differentiated is a chain of Ops with the gradient of <result, cotangent>.
type differentiated struct {
	graph          *op.Graph
	feeds          map[*gorgonia.Node]op.Array
	out, cotangent *gorgonia.Node
	grads          []*gorgonia.Node // of the wanted inputs
}

func differentiate(t testing.TB, build func(p *op.Program, in []*op.Value) (*op.Value, error), inputs []op.Array, wanted []int) differentiated {
	t.Helper()
	p := op.NewProgram(0)
	values := make([]*op.Value, len(inputs))
	for i, a := range inputs {
		values[i] = p.Input(fmt.Sprint("x", i), a.Type, i)
	}
	result, err := build(p, values)
	if err != nil {
		t.Fatal(err)
	}
	d := differentiated{graph: op.NewGraph(), feeds: map[*gorgonia.Node]op.Array{}}
	nodes := map[*op.Value]*gorgonia.Node{}
	for i, a := range inputs {
		nodes[values[i]] = d.graph.Input(fmt.Sprint("x", i), a.Type, slices.Contains(wanted, i))
		d.feeds[nodes[values[i]]] = a
	}
	for _, s := range p.Steps {
		in := make([]*gorgonia.Node, len(s.In))
		for i, v := range s.In {
			if nodes[v] == nil {
				nodes[v] = d.graph.Input(fmt.Sprintf("const%d", len(nodes)), v.Type, false)
				d.feeds[nodes[v]] = *v.Const
			}
			in[i] = nodes[v]
		}
		if nodes[s.Out], err = d.graph.Apply(s.Op, in...); err != nil {
			t.Fatal(err)
		}
	}
	d.out = nodes[result]
	d.cotangent = d.graph.Input("cotangent", result.Type, false)
	cotangent := Normal(rand.New(rand.NewPCG(7, 7)), result.Type.Shape...)
	if op.ClassOf(result.Type.DType) == op.ClassFloat32 {
		cotangent = Float32(cotangent)
	}
	d.feeds[d.cotangent] = cotangent
	var wrt []*gorgonia.Node
	for _, i := range wanted {
		wrt = append(wrt, nodes[values[i]])
	}
	if d.grads, err = d.graph.Backpropagate(d.out, d.cotangent, wrt); err != nil {
		t.Fatal(err)
	}
	return d
}

// checkFloat32 folds the same computation in float32.
func checkFloat32(t *testing.T, build func(p *op.Program, in []*op.Value) (*op.Value, error), inputs []op.Array, want []float64) {
	t.Helper()
	p := op.NewProgram(0)
	values := make([]*op.Value, len(inputs))
	for i, a := range inputs {
		values[i] = p.Constant(Float32(a))
	}
	result, err := build(p, values)
	if err != nil {
		t.Fatal(err)
	}
	if result.Const == nil {
		t.Fatal("constants were not folded")
	}
	testdevice.CloseTo(t, "float32 result", result.Const.AsFloats(), want, testdevice.Operation)
}

// Compute returns what a backend computes for o.
func Compute(t testing.TB, on testdevice.Backend, o op.Op, in ...op.Array) op.Array {
	t.Helper()
	types := make([]op.Type, len(in))
	for i, a := range in {
		types[i] = a.Type
	}
	result, err := o.Infer(types)
	if err != nil {
		t.Fatal(err)
	}
	out := op.NewArray(result)
	if on.OnHost() {
		o.Forward(kernel.NewContext(1), out, in)
	} else {
		forward(t, on.Device, o, out, in)
	}
	return out
}

// Download returns an array of a backend on the host.
func Download(t testing.TB, on testdevice.Backend, a op.Array) op.Array {
	t.Helper()
	if on.OnHost() {
		return a
	}
	return download(t, on.Device, a)
}

// Compare asserts that a backend computes what the host has.
func Compare(t testing.TB, on testdevice.Backend, o op.Op, want op.Array, in ...op.Array) {
	t.Helper()
	got := Compute(t, on, o, in...)
	testdevice.CloseTo(t, fmt.Sprintf("%s %+v on %s", o.Name(), o, on.Name), got.AsFloats(), want.AsFloats(), testdevice.OperationOnDevice)
}

// Apply computes an Op by folding constants.
func Apply(t *testing.T, o op.Op, in ...op.Array) op.Array {
	t.Helper()
	p := op.NewProgram(0)
	values := make([]*op.Value, len(in))
	for i, a := range in {
		values[i] = p.Constant(a)
	}
	y, err := p.Emit(o, values...)
	if err != nil {
		t.Fatal(err)
	}
	return *y.Const
}

// Counting returns a DOUBLE array 0, 1, 2, …: every element tells where it came
// from.
func Counting(shape ...int) op.Array {
	a := op.NewArray(op.Type{DType: onnx.Double, Shape: shape})
	for i := range op.Elem[float64](a) {
		op.Elem[float64](a)[i] = float64(i)
	}
	return a
}

// Away moves every element at least 0.1 from the given points, where a
// function has a kink that a finite difference would straddle.
func Away(a op.Array, points ...float64) op.Array {
	x := op.Elem[float64](a)
	for i := range x {
		for _, p := range points {
			if math.Abs(x[i]-p) < 0.1 {
				x[i] = p + math.Copysign(0.1, x[i]-p)
			}
		}
	}
	return a
}

// Broadcasts are pairs of shapes that cover the loops of a broadcast: equal,
// one element, a repeated row or column, either operand repeated, both, and
// dimensions that do not merge.
var Broadcasts = [][2][]int{
	{{2, 3}, {2, 3}},
	{{2, 3}, {}},
	{{}, {2, 3}},
	{{}, {}},
	{{4, 2, 3}, {3}},
	{{3}, {4, 2, 3}},
	{{2, 3}, {2, 1}},
	{{2, 1}, {2, 3}},
	{{2, 1}, {1, 3}},
	{{2, 3, 4}, {1, 3, 1}},
	{{2, 1, 4}, {3, 1}},
	{{1, 1}, {1}},
	{{2, 3, 2, 2}, {2, 1, 2, 1}},
}
