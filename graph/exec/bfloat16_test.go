package exec_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Activations and their cotangents are held in bfloat16; what is kept or streamed,
// what becomes a weight's gradient, logits, losses, and what depends on weights alone
// are not.
func TestInBFloat16(t *testing.T) {
	const rows, dim = 7, 5
	b := newBuilder(t)
	input := func(name string, dtype onnx.DType, shape ...int) *gorgonia.Node {
		return b.Input(name, op.Type{DType: dtype, Shape: shape}, dtype == onnx.Float)
	}
	x, w, v, bias := input("x", onnx.Float, rows, dim), input("w", onnx.Float, dim, dim), input("v", onnx.Float, dim, dim), input("bias", onnx.Float, dim)
	labels, beta := input("labels", onnx.Int64, rows), b.Input("beta", op.Type{DType: onnx.Float}, false)
	h := b.apply(op.Linear{}, x, b.apply(op.Transpose{Perm: []int{1, 0}}, w), bias)
	flat := b.apply(op.Reshape{Shape: []int{1, rows, dim}}, h)
	g := b.apply(op.GELU{}, flat)
	kept := b.apply(op.Neg{}, g)
	logits := b.apply(op.Linear{}, b.apply(op.Reshape{Shape: []int{rows, dim}}, kept), v)
	losses := b.apply(op.Loss{Of: op.CrossEntropy{}}, logits, labels, beta)
	cotangent := b.Input("cotangent", b.TypeOf(losses), false)
	grads, err := b.Backpropagate(losses, cotangent, []*gorgonia.Node{w, bias, v, x})
	if err != nil {
		t.Fatal(err)
	}
	config := exec.Config{Outputs: []*gorgonia.Node{kept, grads[3]}, Streamed: grads[:3], BFloat16: []*gorgonia.Node{x, cotangent}}
	p := b.compile(config)
	want := map[*gorgonia.Node]bool{x: false, w: false, h: true, g: true, kept: false, logits: false, cotangent: false}
	for node, half := range want {
		if got := p.InBFloat16(node); got != half {
			t.Errorf("%v: in bfloat16 %v, want %v", node, got, half)
		}
	}
	for _, n := range p.Computed() {
		var half bool
		switch name := n.Op().(*op.Applied).Op.Name(); name {
		case "Gelu", "GeluGradient", "Neg", "Linear", "MatMul":
			half = n != kept && n != logits && n != grads[3] && b.TypeOf(n).Elements() != dim*dim
		}
		if got := p.InBFloat16(n); got != half {
			t.Errorf("%v, %v: in bfloat16 %v, want %v", n, b.TypeOf(n), got, half)
		}
	}
	config.BFloat16 = nil
	full := b.compile(config)
	if p.ArenaBytes() >= full.ArenaBytes() {
		t.Errorf("an arena of %d bytes, in float32 of %d", p.ArenaBytes(), full.ArenaBytes())
	}
	for _, n := range full.Computed() {
		if full.InBFloat16(n) {
			t.Errorf("%v is held in bfloat16, which nobody asked for", n)
		}
	}
	mustPanic(t, "no arrays of bfloat16", func() {
		data, _ := exec.Kernels{}.Arena(64)
		data.Data(b.TypeOf(x), 0, true)
	})
}

// What a gradient compares with an operand is as exact as that.
func TestSelectedInBFloat16(t *testing.T) {
	b := newBuilder(t)
	x := b.Input("x", op.Type{DType: onnx.Float, Shape: []int{1, 1, 4, 4}}, false)
	pool := op.MaxPool{PoolWindow: op.PoolWindow{Kernel: []int{2, 2}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}}}
	largest := op.Reduce{By: op.ReduceMax, Axes: []int{2, 3}, KeepDims: true}
	spread := op.Spread{Shape: []int{1, 1, 4, 4}, Axes: []int{2, 3}, Scale: 1}
	of := func(x *gorgonia.Node) []*gorgonia.Node {
		top := b.apply(largest, x)
		return []*gorgonia.Node{b.apply(pool, x), top, b.apply(spread, top)}
	}
	outputs := func(nodes []*gorgonia.Node) (out []*gorgonia.Node) {
		for _, n := range nodes {
			out = append(out, b.apply(op.Neg{}, n))
		}
		return out
	}
	exact, rounded := of(x), of(b.apply(op.Abs{}, x))
	p := b.compile(exec.Config{Outputs: append(outputs(exact), outputs(rounded)...), BFloat16: []*gorgonia.Node{x}})
	for i := range exact {
		if p.InBFloat16(exact[i]) || !p.InBFloat16(rounded[i]) {
			t.Errorf("%v: of what is exact in bfloat16 %v, of what is rounded %v", exact[i], p.InBFloat16(exact[i]), p.InBFloat16(rounded[i]))
		}
	}
}
