//go:build gpu && linux && cgo

package kernels_test

import (
	"errors"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

// BenchmarkKernels runs the kernels of a ViT-B/16 at batch 128 and a ResNet-50's
// stem, on a GPU (MODELDOCTOR_TEST_DEVICE=gpu); on the fake device small ones. GB/s
// counts each array that a kernel must read or write once.
func BenchmarkKernels(b *testing.B) {
	images, tokens, width, hidden, heads := 128, 197, 768, 3072, 12
	channels, side := 64, 112
	if !fake.Real() {
		images, tokens, width, hidden, heads, channels, side = 2, 17, 64, 256, 4, 8, 32
	}
	rows := images * tokens
	d := open(b)
	x, y, z := d.zeros(rows*hidden), d.zeros(rows*hidden), d.zeros(rows*hidden)
	v := d.zeros(hidden)
	layer := kernels.Moments{Epsilon: 1e-6, Centred: true}
	attention := kernels.Attention{Examples: images, Heads: heads, HeadDim: width / heads, Queries: tokens, Keys: tokens, Scale: 0.125}
	lead := (tokens + 7) &^ 7
	scores := images * heads * tokens
	s, ds := d.zeros(scores*lead), d.zeros(scores*lead)
	work := d.memory(max(attention.Work(), kernels.ReduceWork([]int{rows, hidden}, []int{0}), kernels.NormalizeScaleGradWork(rows, width)))
	pool := kernels.Window{In: [3]int{1, side, side}, Out: [3]int{1, side / 2, side / 2}, Taps: [3]int{1, 3, 3}, Stride: [3]int{1, 2, 2}, Dilation: [3]int{1, 1, 1}, Before: [3]int{0, 1, 1}, After: [3]int{0, 1, 1}}
	planes, area := images*channels, side*side
	pixels, dpixels, pooled := d.zeros(planes*area), d.zeros(planes*area), d.zeros(planes*area/4)
	measure := func(name string, bytes int, run func() error) {
		b.Run(name, func(b *testing.B) {
			took := d.repeat(b, run)
			b.ReportMetric(float64(bytes)*float64(b.N)/took.Seconds()/1e9, "GB/s")
			b.ReportMetric(took.Seconds()/float64(b.N)*1e6, "µs/op")
		})
	}
	for _, half := range []bool{false, true} {
		in := func(p driver.Ptr) kernels.Array { return kernels.Array{Data: p, BFloat16: half} }
		size, suffix, precision := 4, "", driver.TF32
		if half {
			size, suffix, precision = 2, "-bf16", driver.BF16
		}
		packed := func(p driver.Ptr, i int) kernels.Rows {
			return kernels.Rows{Array: in(p), Offset: i * width, ByExample: tokens * 3 * width, ByRow: 3 * width}
		}
		plain := func(p driver.Ptr) kernels.Rows {
			return kernels.Rows{Array: in(p), ByExample: tokens * width, ByRow: width}
		}
		x, y, z, v := in(x), in(y), in(z), v
		for _, c := range []struct {
			name     string
			elements int
			run      func() error
		}{
			{"GELU", 2 * rows * hidden, func() error { return kernels.Unary(d.q, kernels.GELU, x, y, rows*hidden, 0, 0) }},
			{"GELUGrad", 3 * rows * hidden, func() error { return kernels.UnaryGrad(d.q, kernels.GELU, x, y, z, rows*hidden, 0, 0) }},
			{"Add", 3 * rows * width, func() error {
				return kernels.Binary(d.q, kernels.Add, x, []int{rows * width}, y, []int{rows * width}, z, []int{rows * width})
			}},
			{"AddRow", 2 * rows * hidden, func() error {
				return kernels.Binary(d.q, kernels.Add, x, []int{rows, hidden}, kernels.Float32(v), []int{hidden}, x, []int{rows, hidden})
			}},
			{"BiasResidual", 3 * rows * width, func() error { return kernels.BiasResidual(d.q, x, v, y, z, rows, width) }},
			{"LayerNorm", 2 * rows * width, func() error { return kernels.Normalize(d.q, layer, x, v, v, y, rows, width) }},
			{"LayerNormGrad", 3 * rows * width, func() error { return kernels.NormalizeGrad(d.q, layer, x, v, y, z, rows, width) }},
			{"LayerNormScaleGrad", 2 * rows * width, func() error {
				return kernels.NormalizeScaleGrad(d.q, layer, x, y, kernels.Float32(v), rows, width, work)
			}},
			{"ColumnSum", rows * hidden, func() error {
				return kernels.Reduce(d.q, kernels.Sum, x, kernels.Float32(v), []int{rows, hidden}, []int{0}, 1, work)
			}},
			{"Heads", 2 * rows * width, func() error {
				shape := []int{images, heads, tokens, width / heads}
				return kernels.Move(d.q, shape, kernels.Contiguous(y, shape), kernels.Placement{Array: x, Strides: []int{tokens * 3 * width, width / heads, 3 * width, 1}})
			}},
			{"Transpose", 2 * rows * width, func() error {
				shape := []int{images, width, tokens}
				return kernels.Move(d.q, shape, kernels.Contiguous(y, shape), kernels.Placement{Array: x, Strides: []int{tokens * width, 1, width}})
			}},
			{"Attention", 4 * rows * width, func() error {
				return attention.Forward(d.q, precision, packed(x.Data, 0), packed(x.Data, 1), packed(x.Data, 2), plain(y.Data), work)
			}},
			{"AttentionGrad", 7 * rows * width, func() error {
				return attention.Grad(d.q, precision, packed(x.Data, 0), packed(x.Data, 1), packed(x.Data, 2), plain(y.Data), packed(z.Data, 0), packed(z.Data, 1), packed(z.Data, 2), false, work)
			}},
		} {
			measure(c.name+suffix, size*c.elements, c.run)
		}
		// Scores are float32, what is multiplied is not.
		s, ds := kernels.Float32(s), kernels.Float32(ds)
		measure("Softmax"+suffix, (4+size)*scores*tokens, func() error { return kernels.SoftmaxRows(d.q, s, in(ds.Data), scores, tokens, lead, false) })
		measure("SoftmaxGrad"+suffix, (4+2*size)*scores*tokens, func() error {
			return kernels.SoftmaxRowsGrad(d.q, in(x.Data), s, in(ds.Data), scores, tokens, lead, false)
		})
	}
	measure("Convert", 6*rows*hidden, func() error {
		return kernels.Convert(d.q, kernels.Float32(x), kernels.Array{Data: y, BFloat16: true}, rows*hidden)
	})
	measure("Combine", 24*rows*width, func() error {
		return kernels.Combine(d.q, z, x, [4]driver.Ptr{x, y, x, y}, [4]float64{1, 2, 3, 4}, rows*width)
	})
	measure("SGD", 20*rows*width, func() error { return kernels.SGD{}.Step(d.q, x, y, z, 1, rows*width) })
	measure("Dot", 8*rows*width, func() error { return kernels.Dot(d.q, x, y, z, rows*width, work) })
	measure("Decode", 5*planes*area, func() error { return kernels.Decode(d.q, pixels, v, dpixels, planes, 1, area) })
	measure("MaxPool", 5*planes*area, func() error { return kernels.MaxPool(d.q, pool, pixels, pooled, planes) })
	measure("MaxPoolGrad", 10*planes*area, func() error { return kernels.MaxPoolGrad(d.q, pool, pixels, pooled, pooled, dpixels, planes) })
}

// zeros allocates n floats, cleared.
func (d *device) zeros(n int) driver.Ptr {
	d.Helper()
	p := d.memory(int64(4 * n))
	d.do(d.Clear(p, int64(4*n)))
	return p
}

// BenchmarkProducts multiplies the matrices of a ViT-B/16's block at batch 128, or,
// on the fake device, of a small one's. In BF16 the results but those for weights are
// bfloat16. Of a linear layer with its bias, and with a residual connection, "apart"
// is what cuBLASLt's product takes the place of.
func BenchmarkProducts(b *testing.B) {
	rows, width, hidden := 128*197, 768, 3072
	if !fake.Real() {
		rows, width, hidden = 8*17, 96, 384
	}
	d := open(b)
	x, w, y := d.zeros(rows*hidden), d.zeros(width*hidden), d.zeros(rows*hidden)
	bias, residual := d.zeros(hidden), d.zeros(rows*hidden)
	for _, p := range []driver.Precision{driver.FP32, driver.TF32, driver.BF16} {
		half := p == driver.BF16
		of := func(p driver.Ptr, lead int, trans bool) driver.Matrix {
			return driver.Matrix{Data: p, Lead: lead, Trans: trans, BFloat16: half}
		}
		in := func(p driver.Ptr) kernels.Array { return kernels.Array{Data: p, BFloat16: half} }
		wide := func() error {
			return d.Gemm(p, rows, hidden, width, 1, of(x, width, false), of(w, hidden, false), 0, of(y, hidden, false))
		}
		narrow := func() error {
			return d.Gemm(p, rows, width, hidden, 1, of(x, hidden, false), of(w, width, false), 0, of(y, width, false))
		}
		add := func(n, k int, residual driver.Ptr) error {
			done, err := d.GemmAdd(p, rows, n, k, of(x, k, false), of(w, n, false), bias, residual, of(y, n, false))
			if err == nil && !done {
				err = errors.New("this cuBLASLt has no such product")
			}
			return err
		}
		type product struct {
			name string
			run  func() error
		}
		products := []product{
			{"forward", wide},
			{"input", func() error {
				return d.Gemm(p, rows, width, hidden, 1, of(y, hidden, false), of(w, hidden, true), 0, of(x, width, false))
			}},
			{"weight", func() error {
				return d.Gemm(p, width, hidden, rows, 1, of(x, width, true), of(y, hidden, false), 0, driver.Matrix{Data: w, Lead: hidden})
			}},
		}
		additions := []product{
			{"bias", func() error { return add(hidden, width, 0) }},
			{"bias apart", func() error {
				if err := wide(); err != nil {
					return err
				}
				return kernels.Binary(d.q, kernels.Add, in(y), []int{rows, hidden}, kernels.Float32(bias), []int{hidden}, in(y), []int{rows, hidden})
			}},
			{"residual", func() error { return add(width, hidden, residual) }},
			{"residual apart", func() error {
				if err := narrow(); err != nil {
					return err
				}
				return kernels.BiasResidual(d.q, in(y), bias, in(residual), in(y), rows, width)
			}},
		}
		if p != driver.FP32 { // the command for a card has little time
			products = append(products, additions...)
		}
		for _, c := range products {
			b.Run(p.String()+" "+c.name, func(b *testing.B) {
				took := d.repeat(b, c.run)
				b.ReportMetric(2*float64(rows)*float64(width)*float64(hidden)*float64(b.N)/took.Seconds()/1e9, "GFLOP/s")
				b.ReportMetric(took.Seconds()/float64(b.N)*1e6, "µs/op")
			})
		}
	}
}

// repeat runs what is measured b.N times and returns how long the device took.
func (d *device) repeat(b *testing.B, run func() error) time.Duration {
	if err := run(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	took, err := d.Time(func() error {
		for range b.N {
			if err := run(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return took
}
