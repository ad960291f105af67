package exec_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// transformer is the data flow of a ViT with every gradient, on operations that
// have a size and nothing else.
func transformer(t testing.TB, blocks, rows, dim int) (b builder, loss *gorgonia.Node, grads []*gorgonia.Node) {
	b = newBuilder(t)
	float := func(shape ...int) op.Type { return op.Type{DType: onnx.Float, Shape: shape} }
	var weights []*gorgonia.Node
	weight := func(shape ...int) *gorgonia.Node {
		n := b.Input(string(rune('a'+len(weights)%26))+string(rune('0'+len(weights)/26)), float(shape...), true)
		weights = append(weights, n)
		return n
	}
	image := b.Input("image", float(rows, 3*dim), false)
	x := b.apply(sized{float(rows, dim)}, image, weight(3*dim, dim))
	norm := func(x *gorgonia.Node) *gorgonia.Node {
		return b.apply(sized{float(rows, dim)}, x, weight(dim), weight(dim))
	}
	linear := func(x *gorgonia.Node, from, to int) *gorgonia.Node {
		return b.apply(sized{float(rows, to)}, x, weight(from, to), weight(to))
	}
	for range blocks {
		y := linear(norm(x), dim, 3*dim)
		y = b.apply(sized{float(rows, dim)}, y)
		x = b.apply(sized{float(rows, dim)}, x, linear(y, dim, dim))
		y = linear(norm(x), dim, 4*dim)
		y = b.apply(sized{float(rows, 4*dim)}, y)
		x = b.apply(sized{float(rows, dim)}, x, linear(y, 4*dim, dim))
	}
	loss = b.apply(sized{float(1)}, linear(norm(x), dim, 100))
	grads, err := b.Backpropagate(loss, b.Input("cotangent", float(1), false), weights)
	if err != nil {
		t.Fatal(err)
	}
	return b, loss, grads
}

// The layout meets the bound on networks: this is what memory figures rest on.
func TestArenaMeetsBound(t *testing.T) {
	b, loss, grads := transformer(t, 12, 1576, 768)
	outputs := []*gorgonia.Node{loss}
	for name, config := range map[string]exec.Config{
		"forward":        {Outputs: outputs},
		"all gradients":  {Outputs: outputs, Streamed: grads},
		"kept gradients": {Outputs: append(outputs, grads...)},
		"last layers":    {Outputs: outputs, Streamed: grads[len(grads)-20:]},
	} {
		p := b.compile(config)
		if p.ArenaBytes() != p.LiveBytes() {
			t.Errorf("%s: arena %d bytes, bound %d", name, p.ArenaBytes(), p.LiveBytes())
		}
	}
	// By hand: forward, the widest moment is a GELU beside the residual stream.
	if got, want := b.compile(exec.Config{Outputs: outputs}).ArenaBytes(), int64(1576*768*4*(1+4+4)); got != want {
		t.Errorf("forward: arena %d bytes, want %d", got, want)
	}
}

func BenchmarkCompile(b *testing.B) {
	g, loss, grads := transformer(b, 60, 1576, 768)
	b.ResetTimer()
	var p *exec.Plan
	for b.Loop() {
		p = g.compile(exec.Config{Outputs: []*gorgonia.Node{loss}, Streamed: grads})
	}
	b.ReportMetric(float64(len(p.StepNames())), "steps")
	b.ReportMetric(float64(p.ArenaBytes())/float64(p.LiveBytes()), "arena/bound")
}
