package exec

import (
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// FuzzPlace: for any buffers, no two that are alive at once share a byte, and the
// arena ends where the last one does.
func FuzzPlace(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint16(seed*8))
	}
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		r := rand.New(rand.NewPCG(seed, 1))
		buffers := make([]buffer, n%512)
		steps := 1 + r.IntN(100)
		for i := range buffers {
			first := r.IntN(steps)
			buffers[i] = buffer{size: align(r.Int64N(1000)), first: int32(first), last: int32(first + r.IntN(steps-first))}
		}
		size, end := assignOffsets(buffers), int64(0)
		for i := range buffers {
			b := &buffers[i]
			end = max(end, b.offset+b.size)
			if b.offset < 0 || b.offset%alignment != 0 {
				t.Fatalf("%+v is not aligned", b)
			}
			for j := range buffers[:i] {
				if c := &buffers[j]; b.overlaps(c) && b.offset < c.offset+c.size && c.offset < b.offset+b.size {
					t.Fatalf("%+v and %+v share bytes", b, c)
				}
			}
		}
		live := int64(0)
		for s := range int32(steps) {
			sum := int64(0)
			for _, b := range buffers {
				if b.first <= s && s <= b.last {
					sum += b.size
				}
			}
			live = max(live, sum)
		}
		if got := liveBytes(buffers, steps); got != live || size < live || size != end {
			t.Fatalf("arena %d, its end %d; live %d, want %d", size, end, got, live)
		}
	})
}

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
	for name, config := range map[string]Config{
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
	if got, want := b.compile(Config{Outputs: outputs}).ArenaBytes(), int64(1576*768*4*(1+4+4)); got != want {
		t.Errorf("forward: arena %d bytes, want %d", got, want)
	}
}

func BenchmarkCompile(b *testing.B) {
	g, loss, grads := transformer(b, 60, 1576, 768)
	b.ResetTimer()
	var p *Plan
	for b.Loop() {
		p = g.compile(Config{Outputs: []*gorgonia.Node{loss}, Streamed: grads})
	}
	b.ReportMetric(float64(len(p.steps)), "steps")
	b.ReportMetric(float64(p.arena)/float64(p.live), "arena/bound")
}
