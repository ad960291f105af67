package exec_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// A Linear and an Add are one step where nobody can tell; the numbers are the same in any case.
func TestLinearAdd(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		const rows, dim = 7, 5
		for _, c := range []struct {
			name  string
			build func(n *residuals) (outputs []*gorgonia.Node)
			steps []string
		}{
			{"with a bias", func(n *residuals) []*gorgonia.Node {
				return []*gorgonia.Node{n.add(n.x, n.linear(n.x, n.bias))}
			}, []string{"Linear + Add"}},
			{"without", func(n *residuals) []*gorgonia.Node {
				return []*gorgonia.Node{n.add(n.linear(n.x), n.x)}
			}, []string{"Linear + Add"}},
			{"one after the other", func(n *residuals) []*gorgonia.Node {
				y := n.add(n.x, n.linear(n.x, n.bias))
				return []*gorgonia.Node{n.add(y, n.linear(n.apply(sine{}, y), n.bias))}
			}, []string{"Linear + Add", "Sine", "Linear + Add"}},
			{"of two products", func(n *residuals) []*gorgonia.Node {
				return []*gorgonia.Node{n.add(n.linear(n.x), n.linear(n.x, n.bias))}
			}, []string{"Linear", "Linear + Add"}},
			{"a view is added", func(n *residuals) []*gorgonia.Node {
				flat := n.apply(shaped{[]int{rows * dim}}, n.apply(sine{}, n.x))
				return []*gorgonia.Node{n.add(n.apply(shaped{[]int{rows, dim}}, flat), n.linear(n.x))}
			}, []string{"Sine", "Shaped", "Shaped", "Linear + Add"}},
			{"by way of views", func(n *residuals) []*gorgonia.Node {
				y := n.apply(shaped{[]int{rows * dim}}, n.linear(n.x, n.bias))
				return []*gorgonia.Node{n.add(n.x, n.apply(shaped{[]int{rows, dim}}, y))}
			}, []string{"Linear + Add"}},
			{"of another rank", func(n *residuals) []*gorgonia.Node {
				x := n.apply(shaped{[]int{1, rows, dim}}, n.x)
				return []*gorgonia.Node{n.add(x, n.apply(shaped{[]int{1, rows, dim}}, n.linear(n.x, n.bias)))}
			}, []string{"Shaped", "Linear + Add"}},
			{"of other rows", func(n *residuals) []*gorgonia.Node {
				x := n.apply(shaped{[]int{dim, rows}}, n.x)
				return []*gorgonia.Node{n.add(x, n.apply(shaped{[]int{dim, rows}}, n.linear(n.x, n.bias)))}
			}, []string{"Shaped", "Linear", "Shaped", "Add"}},
			{"a view's other reader", func(n *residuals) []*gorgonia.Node {
				y := n.apply(shaped{[]int{1, rows, dim}}, n.linear(n.x))
				x := n.apply(shaped{[]int{1, rows, dim}}, n.x)
				return []*gorgonia.Node{n.apply(times{}, n.add(x, y), y)}
			}, []string{"Linear", "Shaped", "Shaped", "Add", "Times"}},
			{"another reader", func(n *residuals) []*gorgonia.Node {
				y := n.linear(n.x)
				return []*gorgonia.Node{n.apply(times{}, n.add(y, n.x), y)}
			}, []string{"Linear", "Add", "Times"}},
			{"added to itself", func(n *residuals) []*gorgonia.Node {
				y := n.linear(n.x)
				return []*gorgonia.Node{n.add(y, y)}
			}, []string{"Linear", "Add"}},
			{"an output", func(n *residuals) []*gorgonia.Node {
				y := n.linear(n.x)
				return []*gorgonia.Node{y, n.add(y, n.x)}
			}, []string{"Linear", "Add"}},
			{"what is added comes later", func(n *residuals) []*gorgonia.Node {
				y := n.linear(n.x)
				return []*gorgonia.Node{n.add(y, n.apply(sine{}, n.x))}
			}, []string{"Linear", "Sine", "Add"}},
			{"another shape", func(n *residuals) []*gorgonia.Node {
				return []*gorgonia.Node{n.add(n.linear(n.x), n.bias)}
			}, []string{"Linear", "Add"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				n := newResiduals(t, onnx.Float, rows, dim)
				n.check(t, on, c.build(n), c.steps)
			})
		}
		t.Run("float64", func(t *testing.T) {
			n := newResiduals(t, onnx.Double, rows, dim)
			n.check(t, on, []*gorgonia.Node{n.add(n.x, n.linear(n.x, n.bias))}, []string{"Linear + Add"})
		})
		t.Run("streamed", func(t *testing.T) {
			n := newResiduals(t, onnx.Float, rows, dim)
			y := n.linear(n.x)
			p := n.compile(exec.Config{Outputs: []*gorgonia.Node{n.add(y, n.x)}, Streamed: []*gorgonia.Node{y}})
			if steps := p.StepNames(); len(steps) != 2 {
				t.Errorf("steps %q", steps)
			}
		})
	})
}

// residuals is a graph of linear layers and what is added to them.
type residuals struct {
	builder
	x, w, bias *gorgonia.Node
	bound      map[*gorgonia.Node]op.Array
}

func newResiduals(t *testing.T, dtype onnx.DType, rows, dim int) *residuals {
	n := &residuals{builder: newBuilder(t), bound: map[*gorgonia.Node]op.Array{}}
	for i, p := range []struct {
		node  **gorgonia.Node
		name  string
		shape []int
	}{{&n.x, "x", []int{rows, dim}}, {&n.w, "w", []int{dim, dim}}, {&n.bias, "bias", []int{dim}}} {
		u := op.Type{DType: dtype, Shape: p.shape}
		*p.node = n.Input(p.name, u, true)
		a := op.NewArray(u)
		for j, v := range ramp(i, p.shape...).AsFloats() {
			switch x := a.Data.(type) {
			case []float32:
				x[j] = float32(v)
			case []float64:
				x[j] = v / 3
			}
		}
		n.bound[*p.node] = a
	}
	return n
}

func (n *residuals) linear(x *gorgonia.Node, bias ...*gorgonia.Node) *gorgonia.Node {
	return n.apply(op.Linear{}, append([]*gorgonia.Node{x, n.w}, bias...)...)
}

func (n *residuals) add(a, b *gorgonia.Node) *gorgonia.Node { return n.apply(op.Add{}, a, b) }

// check runs a plan twice, which must have these steps and the numbers of plain recursion.
func (n *residuals) check(t *testing.T, on testdevice.Backend, outputs []*gorgonia.Node, steps []string) {
	t.Helper()
	p := n.compile(exec.Config{Outputs: outputs})
	if found := p.StepNames(); !slices.Equal(found, steps) {
		t.Fatalf("steps %q, expected %q", found, steps)
	}
	for _, in := range p.Inputs() {
		p.Bind(in, shared(t, on, n.bound[in]))
	}
	m := newMachine(on, 2)
	defer m.Close()
	for range 2 {
		run(t, m, p, nil)
		for _, o := range outputs {
			agree(t, on, "output", p.Value(o), evaluate(n.Graph, maps.Clone(n.bound), o))
		}
	}
}
