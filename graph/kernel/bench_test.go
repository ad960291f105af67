package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// The products of a ViT-B/16 on 8 images and of the small ViT of the quick start on 50, one
// thread each. go test -bench Gemm reports GFLOP/s, and what share of the core's peak that is.
func BenchmarkGemm(b *testing.B) {
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		peak := peakOf(c)
		for _, s := range []struct{ m, n, k int }{
			{1576, 768, 768}, {1576, 3072, 768}, {1576, 768, 3072}, {768, 768, 1576},
			{850, 288, 96}, {850, 96, 96}, {850, 384, 96}, {850, 96, 384}, {96, 384, 850}, {50, 100, 96},
		} {
			for _, trans := range []string{"NN", "NT", "TN"} {
				g := gemmCase{transA: trans[0] == 'T', transB: trans[1] == 'T', m: s.m, n: s.n, k: s.k, alpha: 1}
				b.Run(fmt.Sprintf("%v/%s_%dx%dx%d", v, trans, s.m, s.n, s.k), func(b *testing.B) {
					d := g.data(b)
					reportFLOPs(b, peak, 2*float64(g.m)*float64(g.n)*float64(g.k), func() {
						Gemm(c, g.transA, g.transB, g.m, g.n, g.k, 1, d.a, d.lda, d.b, d.ldb, 0, d.out, d.ldc)
					})
				})
			}
		}
	}
}

// The products of a ViT-B/16 on two threads, and on one, which takes turns with them.
func BenchmarkGemmTwoThreads(b *testing.B) {
	one, two := NewContext(1), NewContext(2)
	for _, s := range []struct{ m, n, k int }{{1576, 768, 768}, {1576, 3072, 768}, {1576, 768, 3072}, {768, 768, 1576}} {
		g := gemmCase{m: s.m, n: s.n, k: s.k, alpha: 1}
		b.Run(fmt.Sprintf("%dx%dx%d", s.m, s.n, s.k), func(b *testing.B) {
			d := g.data(b)
			shortest := map[*Context]time.Duration{one: 1 << 62, two: 1 << 62}
			for b.Loop() {
				for c := range shortest {
					start := time.Now()
					Gemm(c, false, false, g.m, g.n, g.k, 1, d.a, d.lda, d.b, d.ldb, 0, d.out, d.ldc)
					shortest[c] = min(shortest[c], time.Since(start))
				}
			}
			flops := 2 * float64(g.m) * float64(g.n) * float64(g.k)
			b.ReportMetric(flops/float64(shortest[two].Nanoseconds()), "GFLOP/s")
			b.ReportMetric(flops/float64(shortest[one].Nanoseconds()), "GFLOP/s-of-one-thread")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// The attention of the same models: scores are NT, their product with the values NN.
func BenchmarkGemmBatch(b *testing.B) {
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		peak := peakOf(c)
		for _, s := range []struct{ batch, m, n, k int }{{150, 17, 17, 32}, {150, 17, 32, 17}, {96, 197, 197, 64}, {96, 197, 64, 197}} {
			for _, trans := range []string{"NN", "NT", "TN"} {
				g := gemmCase{transA: trans[0] == 'T', transB: trans[1] == 'T', m: s.m, n: s.n, k: s.k, alpha: 1}
				b.Run(fmt.Sprintf("%v/%s_%dx%dx%dx%d", v, trans, s.batch, s.m, s.n, s.k), func(b *testing.B) {
					rng := rand.New(rand.NewPCG(1, 2))
					x, y, out := make([]float32, s.batch*s.m*s.k), make([]float32, s.batch*s.n*s.k), make([]float32, s.batch*s.m*s.n)
					fill(rng, x)
					fill(rng, y)
					d := g.data(b)
					reportFLOPs(b, peak, 2*float64(s.batch)*float64(g.m)*float64(g.n)*float64(g.k), func() {
						GemmBatch(c, s.batch, g.transA, g.transB, s.m, s.n, s.k, 1, x, d.lda, s.m*s.k, y, d.ldb, s.n*s.k, 0, out, d.ldc, s.m*s.n)
					})
				})
			}
		}
	}
}

// peakOf returns the floating-point operations per nanosecond of a core in the micro-kernel of a
// Context, the most that a product can reach: those of one tile whose operands are a few cache
// lines, read over and over. It is 0 for plain Go.
func peakOf(c *Context) float64 {
	if c.vector == nil {
		return 0
	}
	const k, trials = 1 << 15, 100
	g := c.vector.gemm
	rows, columns := len(g.wide), 2*g.lanes
	a, b, out := make([]float32, 1), make([]float32, columns), make([]float32, rows*columns)
	shortest := time.Duration(1 << 62)
	for range trials {
		start := time.Now()
		g.full(1, k, &a[0], 0, 0, 0, &b[0], 0, &out[0], columns, 1, 0, columns)
		shortest = min(shortest, time.Since(start))
	}
	return 2 * k * float64(rows*columns) / float64(shortest.Nanoseconds())
}

// shortestRun is the duration of the shortest run of f, which other work on the machine has delayed
// least.
func shortestRun(b *testing.B, f func()) time.Duration {
	shortest := time.Duration(1 << 62)
	for b.Loop() {
		start := time.Now()
		f()
		shortest = min(shortest, time.Since(start))
	}
	return shortest
}

// reportFLOPs runs f and reports the speed of its shortest run.
func reportFLOPs(b *testing.B, peak, flops float64, f func()) {
	shortest := shortestRun(b, f)
	speed := flops / float64(shortest.Nanoseconds())
	b.ReportMetric(speed, "GFLOP/s")
	if peak > 0 {
		b.ReportMetric(100*speed/peak, "%-of-peak")
	}
	b.ReportMetric(0, "ns/op")
}

// The other kernels on the activations of the small ViT, one thread, in ns per element.
func BenchmarkRows(b *testing.B) {
	const rows, d = 850, 384
	in := newRowInput(b, rows, d)
	out := make([]float32, rows*d)
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		run := func(name string, f func()) {
			b.Run(fmt.Sprintf("%v/%s", v, name), func(b *testing.B) {
				shortest := shortestRun(b, f)
				b.ReportMetric(float64(shortest.Nanoseconds())/(rows*d), "ns/element")
				b.ReportMetric(0, "ns/op")
			})
		}
		for _, k := range unaryKernels {
			run(k.name, func() { k.f32(c, in.x, out) })
		}
		for _, k := range binaryKernels {
			run(k.name, func() { k.f32(c, in.x, in.dy, out) })
		}
		for _, k := range rowKernels {
			run(k.name, func() { k.f32(c, in, out) })
		}
	}
}

// Convolutions of a ResNet-20 on 32 px, a ResNet-18 and a MobileNetV2, for 8 images on one thread.
func BenchmarkConvolve(b *testing.B) {
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		if !c.piecewise() {
			continue
		}
		peak := peakOf(c)
		for _, g := range []Convolution{
			planes(8, 16, 16, 1, 32, 32, 3, 3, 1, 1, 1, 1), planes(8, 32, 32, 1, 16, 16, 3, 3, 1, 1, 1, 1), planes(8, 64, 64, 1, 8, 8, 3, 3, 1, 1, 1, 1),
			planes(8, 64, 64, 1, 56, 56, 3, 3, 1, 1, 1, 1), planes(8, 128, 128, 1, 28, 28, 3, 3, 1, 1, 1, 1), planes(8, 256, 256, 1, 14, 14, 3, 3, 1, 1, 1, 1), planes(8, 512, 512, 1, 7, 7, 3, 3, 1, 1, 1, 1),
			planes(8, 16, 96, 1, 112, 112, 1, 1, 1, 1, 0, 0), planes(8, 96, 96, 96, 112, 112, 3, 3, 2, 1, 1, 1), planes(8, 96, 24, 1, 56, 56, 1, 1, 1, 1, 0, 0),
			planes(8, 144, 144, 144, 56, 56, 3, 3, 1, 1, 1, 1), planes(8, 576, 96, 1, 14, 14, 1, 1, 1, 1, 0, 0), planes(8, 960, 160, 1, 7, 7, 1, 1, 1, 1, 0, 0), planes(8, 160, 960, 1, 7, 7, 1, 1, 1, 1, 0, 0), planes(8, 960, 960, 960, 7, 7, 3, 3, 1, 1, 1, 1),
		} {
			b.Run(fmt.Sprintf("%v/%dx%dx%d_%dx%d_%d_s%d", v, g.Channels, g.In[0], g.In[1], g.Filters, g.Taps[0], g.Groups, g.Stride[0]), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				x, w, y := make([]float32, g.Images*g.Channels*g.In[0]*g.In[1]), make([]float32, g.Filters*g.Channels/g.Groups*g.Taps[0]*g.Taps[1]), make([]float32, g.Images*g.Filters*g.Out[0]*g.Out[1])
				fill(rng, x)
				fill(rng, w)
				reportFLOPs(b, peak, 2*float64(len(y))*float64(len(w)/g.Filters), func() { Convolve(c, g, x, w, Unbounded(), y) })
			})
		}
	}
}

// Linear layers of the small ViT of the quick start on 50 images and of a ViT-B/16 on 8, with what
// ends them, one thread.
func BenchmarkLinear(b *testing.B) {
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		peak := peakOf(c)
		for _, s := range []struct {
			rows, width, features int
			added                 bool
			then                  Activation
		}{
			{850, 288, 96, false, NoActivation}, {850, 96, 96, true, NoActivation}, {850, 384, 96, false, GELUActivation}, {850, 96, 384, true, NoActivation},
			{1576, 3072, 768, false, GELUActivation}, {1576, 768, 3072, true, NoActivation},
		} {
			rng := rand.New(rand.NewPCG(1, 2))
			x, w, bias, added, y := make([]float32, s.rows*s.features), make([]float32, s.width*s.features), make([]float32, s.width), make([]float32, s.rows*s.width), make([]float32, s.rows*s.width)
			for _, a := range [][]float32{x, w, bias, added} {
				fill(rng, a)
			}
			e := LinearEnding[float32]{Bias: bias, Then: s.then}
			if s.added {
				e.Added = added
			}
			run := func(when string, f func()) {
				b.Run(fmt.Sprintf("%v/%dx%dx%d ended %s", v, s.rows, s.width, s.features, when), func(b *testing.B) {
					reportFLOPs(b, peak, 2*float64(s.rows)*float64(s.width)*float64(s.features), f)
				})
			}
			run("by tiles", func() { Linear(c, false, s.rows, s.width, s.features, x, w, e, y) })
			run("afterwards", func() {
				Gemm(c, false, false, s.rows, s.width, s.features, 1, x, s.features, w, s.width, 0, y, s.width)
				e.apply(c, y, s.rows, s.width)
			})
		}
	}
}
