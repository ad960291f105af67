//go:build gpu && linux && cgo

package driver

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// product is C ← alpha·op(A)·op(B) + beta·C by its definition, matrices row by row.
func product(m, n, k int, alpha float64, a []float32, lda int, transA bool, b []float32, ldb int, transB bool,
	beta float64, c []float32, ldc int) {
	at := func(x []float32, lead int, trans bool, i, j int) float64 {
		if trans {
			i, j = j, i
		}
		return float64(x[i*lead+j])
	}
	for i := range m {
		for j := range n {
			var sum float64
			for l := range k {
				sum += at(a, lda, transA, i, l) * at(b, ldb, transB, l, j)
			}
			sum *= alpha
			if beta != 0 {
				sum += beta * float64(c[i*ldc+j])
			}
			c[i*ldc+j] = float32(sum)
		}
	}
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = r.Float32()*2 - 1
	}
	return x
}

// bfloat16 rounds x in place and returns it in the format of the device.
func bfloat16(x []float32) []uint16 {
	h := make([]uint16, len(x))
	for i, v := range x {
		b := math.Float32bits(v)
		h[i] = uint16((b + 0x7fff + b>>16&1) >> 16)
		x[i] = math.Float32frombits(uint32(h[i]) << 16)
	}
	return h
}

func uploadBytes(t testing.TB, d *Device, b []byte) Ptr {
	t.Helper()
	p := alloc(t, d, int64(len(b)))
	do(t, d.Upload(p, b))
	return p
}

// Every way to lay the factors out, with rows longer than the matrices, against the definition.
func TestGemm(t *testing.T) {
	d := openDevice(t)
	r := rand.New(rand.NewPCG(1, 2))
	const m, n, k, batch, pad = 5, 7, 3, 4, 8
	for _, p := range []Precision{FP32, TF32, BF16} {
		for layout := range 8 {
			transA, transB, batched := layout&1 != 0, layout&2 != 0, layout&4 != 0
			t.Run(fmt.Sprintf("%v,transA=%v,transB=%v,batch=%v", p, transA, transB, batched), func(t *testing.T) {
				shape := func(rows, columns int, trans bool) (lead, stride int) {
					if trans {
						rows, columns = columns, rows
					}
					return columns + pad, rows*(columns+pad) + 2*pad
				}
				lda, sa := shape(m, k, transA)
				ldb, sb := shape(k, n, transB)
				ldc, sc := shape(m, n, false)
				a, b, c := random(r, batch*sa), random(r, batch*sb), random(r, batch*sc)
				pa, pb := Ptr(0), Ptr(0)
				if p == BF16 {
					pa, pb = uploadBytes(t, d, Bytes(bfloat16(a))), uploadBytes(t, d, Bytes(bfloat16(b)))
				} else {
					pa, pb = upload(t, d, a), upload(t, d, b)
				}
				pc := upload(t, d, c)
				A := Matrix{Data: pa, Lead: lda, Stride: int64(sa), Trans: transA, BFloat16: p == BF16}
				B := Matrix{Data: pb, Lead: ldb, Stride: int64(sb), Trans: transB, BFloat16: p == BF16}
				C := Matrix{Data: pc, Lead: ldc, Stride: int64(sc)}
				count := 1
				if batched {
					count = batch
					do(t, d.GemmBatch(p, batch, m, n, k, 0.5, A, B, 2, C))
				} else {
					do(t, d.Gemm(p, m, n, k, 0.5, A, B, 2, C))
				}
				for i := range count {
					product(m, n, k, 0.5, a[i*sa:], lda, transA, b[i*sb:], ldb, transB, 2, c[i*sc:], ldc)
				}
				tolerance := 4e-6
				if p == TF32 {
					tolerance = 4e-3 // two factors of 10 bits, 3 terms below 1, halved
				}
				compare(t, download(t, d, pc, len(c)), c, tolerance)
			})
		}
	}
}

// The result of a BF16 product may be bfloat16: what it is in float32, rounded, and added to what was there.
func TestGemmToBFloat16(t *testing.T) {
	d := openDevice(t)
	r := rand.New(rand.NewPCG(9, 10))
	const m, n, k, batch = 5, 8, 3, 2
	a, b, c := random(r, batch*m*k), random(r, batch*k*n), random(r, batch*m*n)
	A := Matrix{Data: uploadBytes(t, d, Bytes(bfloat16(a))), Lead: k, Stride: m * k, BFloat16: true}
	B := Matrix{Data: uploadBytes(t, d, Bytes(bfloat16(b))), Lead: n, Stride: k * n, BFloat16: true}
	for count := range batch + 1 {
		C := Matrix{Data: uploadBytes(t, d, Bytes(bfloat16(c))), Lead: n, Stride: m * n, BFloat16: true}
		want := append([]float32{}, c...)
		if count == 0 {
			count = 1
			do(t, d.Gemm(BF16, m, n, k, 0.5, A, B, 2, C))
		} else {
			do(t, d.GemmBatch(BF16, count, m, n, k, 0.5, A, B, 2, C))
		}
		for i := range count {
			product(m, n, k, 0.5, a[i*m*k:], k, false, b[i*k*n:], n, false, 2, want[i*m*n:], n)
		}
		compare(t, downloadBFloat16(t, d, C.Data, len(want)), want, 1e-2) // of numbers below 4, rounded to 8 bits
	}
}

// downloadBFloat16 returns numbers that the device has as bfloat16.
func downloadBFloat16(t testing.TB, d *Device, p Ptr, n int) []float32 {
	t.Helper()
	h, x := make([]uint16, n), make([]float32, n)
	do(t, d.Download(Bytes(h), p), d.Sync())
	for i, v := range h {
		x[i] = math.Float32frombits(uint32(v) << 16)
	}
	return x
}

// A batch whose factor is the same throughout, and a C that holds no numbers yet.
func TestGemmBatchOfOneFactor(t *testing.T) {
	d := openDevice(t)
	r := rand.New(rand.NewPCG(3, 4))
	const m, n, k, batch = 2, 3, 4, 3
	a, b, c := random(r, batch*m*k), random(r, k*n), make([]float32, batch*m*n)
	for i := range c {
		c[i] = float32(math.NaN())
	}
	pc := upload(t, d, c)
	do(t, d.GemmBatch(FP32, batch, m, n, k, 1, Matrix{Data: upload(t, d, a), Lead: k, Stride: m * k},
		Matrix{Data: upload(t, d, b), Lead: n}, 0, Matrix{Data: pc, Lead: n, Stride: m * n}))
	product(batch*m, n, k, 1, a, k, false, b, n, false, 0, c, n)
	compare(t, download(t, d, pc, len(c)), c, 4e-6)
}

func TestGemmSizes(t *testing.T) {
	d := openDevice(t)
	p := alloc(t, d, 64)
	m := Matrix{Data: p, Lead: 4}
	do(t, d.Gemm(FP32, 0, 4, 4, 1, m, m, 0, m), d.GemmBatch(FP32, 0, 4, 4, 4, 1, m, m, 0, m))
	if err := d.Gemm(FP32, 1<<31, 4, 4, 1, m, m, 0, m); err == nil {
		t.Error("2³¹ rows are taken")
	}
	if err := d.Gemm(FP32, 4, -1, 4, 1, m, m, 0, m); err == nil {
		t.Error("-1 columns are taken")
	}
	if err := d.Gemm(BF16, 4, 4, 4, 1, m, m, 0, m); err == nil {
		t.Error("a BF16 product takes factors of float32")
	}
}

func compare(t *testing.T, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if diff := math.Abs(float64(got[i]) - float64(want[i])); !(diff <= tolerance) {
			t.Fatalf("element %d: %v, want %v", i, got[i], want[i])
		}
	}
}

// The largest products of ViT-B/16 for 64 images, and the attention's.
func BenchmarkGemm(b *testing.B) {
	d := openDevice(b)
	if d.Info().Name == "Fake GPU 0" {
		b.Skip("no GPU")
	}
	const tokens, width, hidden, heads = 64 * 197, 768, 3072, 64 * 12
	factor := alloc(b, d, 4*tokens*hidden)
	result := alloc(b, d, 4*heads*197*200)
	do(b, d.Clear(factor, 4*tokens*hidden))
	for _, p := range []Precision{FP32, TF32, BF16} {
		for _, c := range []struct {
			name           string
			flop           float64
			multiplication func() error
		}{
			{"mlp", 2 * tokens * width * hidden, func() error {
				m := Matrix{Data: factor, Lead: width, BFloat16: p == BF16}
				return d.Gemm(p, tokens, hidden, width, 1, m, Matrix{Data: factor, Lead: hidden, BFloat16: p == BF16}, 0, Matrix{Data: result, Lead: hidden})
			}},
			{"attention", 2 * heads * 197 * 197 * 64, func() error {
				q := Matrix{Data: factor, Lead: 64, Stride: 197 * 64, BFloat16: p == BF16}
				key := Matrix{Data: factor, Lead: 64, Stride: 197 * 64, Trans: true, BFloat16: p == BF16}
				return d.GemmBatch(p, heads, 197, 197, 64, 1, q, key, 0, Matrix{Data: result, Lead: 200, Stride: 197 * 200})
			}},
		} {
			b.Run(fmt.Sprintf("%s/%v", c.name, p), func(b *testing.B) {
				do(b, c.multiplication())
				took, err := d.Time(func() error {
					for range b.N {
						if err := c.multiplication(); err != nil {
							return err
						}
					}
					return nil
				})
				do(b, err)
				b.ReportMetric(c.flop*float64(b.N)/took.Seconds()/1e12, "TFLOP/s")
			})
		}
	}
}
