package op_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
)

// The attentions of the small ViT of the quick start on 50 images, of a ViT-S/14 at 112 px on 8 and of
// a ViT-B/16 on 1, on one thread, in GFLOP/s of the shortest run, which other work on the machine has
// delayed least.
func BenchmarkPackedAttention(b *testing.B) {
	for _, s := range []struct{ examples, tokens, heads, headDim int }{{50, 17, 3, 32}, {8, 65, 6, 64}, {1, 197, 12, 64}} {
		o := op.PackedAttention{Heads: s.heads, HeadDim: s.headDim, Scale: 0.2}
		for i := range o.Offsets {
			o.Offsets[i] = i * s.heads * s.headDim
		}
		x := optest.Float32(optest.Normal(optest.Random(), s.examples, s.tokens, 3*s.heads*s.headDim))
		y := optest.Float32(optest.Normal(optest.Random(), s.examples, s.tokens, s.heads*s.headDim))
		dx := optest.Float32(optest.Normal(optest.Random(), s.examples, s.tokens, 3*s.heads*s.headDim))
		c := kernel.NewContext(1)
		run := func(name string, flops int64, f func()) {
			b.Run(fmt.Sprintf("%s/%d tokens, %d heads of %d", name, s.tokens, s.heads, s.headDim), func(b *testing.B) {
				shortest := time.Duration(1 << 62)
				for b.Loop() {
					start := time.Now()
					f()
					shortest = min(shortest, time.Since(start))
				}
				b.ReportMetric(float64(flops)/float64(shortest.Nanoseconds()), "GFLOP/s")
				b.ReportMetric(0, "ns/op")
			})
		}
		in := []op.Array{x}
		run("forward", o.FLOPs(op.TypesOf(in)), func() { o.Forward(c, y, in) })
		gradient := op.PackedAttentionGradient{Attention: o}
		in = []op.Array{x, y}
		run("gradient", gradient.FLOPs(op.TypesOf(in)), func() { gradient.Forward(c, dx, in) })
	}
}
