package exec_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// A value is a factor if products read it and nobody else does but a sum.
func TestFactors(t *testing.T) {
	const rows, dim = 7, 5
	n := newResiduals(t, onnx.Float, rows, dim)
	sines := func() *gorgonia.Node { return n.apply(sine{}, n.x) }
	once, twice, viewed, added, elsewhere, kept, streamed := sines(), sines(), sines(), sines(), sines(), sines(), sines()
	summed, onlySummed := sines(), sines()
	sum := op.SumTo{Shape: []int{dim}}
	weight, bias := n.apply(sine{}, n.w), n.apply(sine{}, n.bias)
	view := n.apply(shaped{[]int{1, rows, dim}}, viewed)
	outputs := []*gorgonia.Node{
		n.apply(op.Linear{}, once, weight, bias),
		n.apply(op.MatMul{TransA: true}, twice, twice),
		n.apply(op.MatMul{TransB: true}, view, n.x),
		n.add(added, n.linear(n.x)),
		n.apply(times{}, n.linear(elsewhere), elsewhere),
		n.linear(kept), kept,
		n.linear(streamed),
		n.linear(summed), n.apply(sum, summed), n.apply(sum, onlySummed),
	}
	p := n.compile(exec.Config{Outputs: outputs, Streamed: []*gorgonia.Node{streamed}})
	for node, want := range map[*gorgonia.Node]bool{
		once: true, weight: true, bias: false, twice: true, viewed: true, added: false, elsewhere: false, kept: false, streamed: false,
		summed: true, onlySummed: false,
		outputs[0]: false,
	} {
		if got := p.IsFactor(node); got != want {
			t.Errorf("%v: factor %v, want %v", node, got, want)
		}
	}
}
