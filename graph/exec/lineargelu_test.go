package exec_test

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// A Linear and a GELU are one step where nobody can tell, and where the plan is for the host; the
// bits are the same in any case.
func TestLinearGELU(t *testing.T) {
	const rows, dim = 70, 33
	for _, c := range []struct {
		name  string
		build func(n *residuals) []*gorgonia.Node
		steps []string
	}{
		{"with a bias", func(n *residuals) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(op.GELU{}, n.linear(n.x, n.bias))}
		}, []string{"Linear + Gelu"}},
		{"without, the tanh form", func(n *residuals) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(op.GELU{Tanh: true}, n.linear(n.x))}
		}, []string{"Linear + Gelu"}},
		{"an MLP", func(n *residuals) []*gorgonia.Node {
			y := n.linear(n.apply(op.GELU{Tanh: true}, n.linear(n.x, n.bias)), n.bias)
			return []*gorgonia.Node{n.add(n.x, y)}
		}, []string{"Linear + Gelu", "Linear + Add"}},
		{"by way of views", func(n *residuals) []*gorgonia.Node {
			y := n.apply(shaped{[]int{1, rows, dim}}, n.linear(n.x, n.bias))
			return []*gorgonia.Node{n.apply(op.GELU{}, y)}
		}, []string{"Linear + Gelu"}},
		{"after an addition", func(n *residuals) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(op.GELU{}, n.add(n.x, n.linear(n.x, n.bias)))}
		}, []string{"Linear + Add", "Gelu"}},
		{"another reader", func(n *residuals) []*gorgonia.Node {
			y := n.linear(n.x)
			return []*gorgonia.Node{n.apply(times{}, n.apply(op.GELU{}, y), y)}
		}, []string{"Linear", "Gelu", "Times"}},
		{"an output", func(n *residuals) []*gorgonia.Node {
			y := n.linear(n.x)
			return []*gorgonia.Node{y, n.apply(op.GELU{}, y)}
		}, []string{"Linear", "Gelu"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dtype := range []onnx.DType{onnx.Float, onnx.Double} {
				n := newResiduals(t, dtype, rows, dim)
				outputs := c.build(n)
				for _, v := range kernel.Variants() {
					apart := n.run(t, exec.Config{Outputs: outputs}, v)
					joined := n.run(t, exec.Config{Outputs: outputs, OnHost: true}, v, c.steps...)
					for i := range outputs {
						if !slices.Equal(joined[i], apart[i]) {
							t.Errorf("%v, %v: output %d has other bits", dtype, v, i)
						}
					}
				}
			}
		})
	}
}

// run returns the outputs of a plan on the host, which must have these steps, if any are named.
func (n *residuals) run(t *testing.T, config exec.Config, v kernel.Variant, steps ...string) [][]float64 {
	t.Helper()
	p := n.compile(config)
	if found := p.StepNames(); len(steps) > 0 && !slices.Equal(found, steps) {
		t.Fatalf("steps %q, expected %q", found, steps)
	}
	for _, in := range p.Inputs() {
		p.Bind(in, n.bound[in])
	}
	m := exec.NewMachine(kernel.NewContext(2, kernel.WithVariant(v)))
	defer m.Close()
	run(t, m, p, nil)
	var values [][]float64
	for _, o := range config.Outputs {
		values = append(values, slices.Clone(p.Value(o).AsFloats()))
	}
	return values
}
