package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// roundoff is the largest relative error of rounding to float32.
const roundoff = 1.0 / (1 << 24)

// fill draws from the normal distribution.
func fill(rng *rand.Rand, x []float32) {
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
}

// gemmCase is a product with everything that Gemm takes; rows of the operands lie pad
// elements apart.
type gemmCase struct {
	transA, transB bool
	m, n, k, pad   int
	alpha, beta    float32
}

func (g gemmCase) String() string {
	return fmt.Sprintf("transA=%t transB=%t %dx%dx%d pad=%d alpha=%g beta=%g", g.transA, g.transB, g.m, g.n, g.k, g.pad, g.alpha, g.beta)
}

type gemmData struct {
	a, b, out     []float32
	lda, ldb, ldc int
}

// data draws operands that end where memory ends.
func (g gemmCase) data(t testing.TB) gemmData {
	rng := rand.New(rand.NewPCG(1, uint64(g.m*1000003+g.n*1009+g.k)))
	matrix := func(rows, cols int, trans bool) ([]float32, int) {
		if trans {
			rows, cols = cols, rows
		}
		ld := cols + g.pad
		x := guarded(t, max(0, (rows-1)*ld+cols))
		if rows == 0 {
			x = x[:0]
		}
		fill(rng, x)
		return x, ld
	}
	var d gemmData
	d.a, d.lda = matrix(g.m, g.k, g.transA)
	d.b, d.ldb = matrix(g.k, g.n, g.transB)
	d.out, d.ldc = matrix(g.m, g.n, false)
	if g.beta == 0 {
		for i := range d.out {
			d.out[i] = float32(math.NaN()) // beta 0 must not read it
		}
	}
	return d
}

// check compares the result with float64 arithmetic on the operands in d, to the rounding
// that a sum of k products in float32 may show.
func (g gemmCase) check(t *testing.T, d gemmData, result []float32) {
	t.Helper()
	for i := range g.m {
		for j := range g.n {
			var sum, size float64
			for p := range g.k {
				ai, bi := i*d.lda+p, p*d.ldb+j
				if g.transA {
					ai = p*d.lda + i
				}
				if g.transB {
					bi = j*d.ldb + p
				}
				x, y := d.a[ai], d.b[bi]
				sum += float64(x) * float64(y)
				size += math.Abs(float64(x) * float64(y))
			}
			want := float64(g.alpha) * sum
			size = math.Abs(float64(g.alpha)) * size
			if g.beta != 0 {
				old := float64(g.beta) * float64(d.out[i*d.ldc+j])
				want += old
				size += math.Abs(old)
			}
			got := float64(result[i*d.ldc+j])
			if !(math.Abs(got-want) <= 4*roundoff*(1+math.Sqrt(float64(g.k)))*size) {
				t.Fatalf("%v: element (%d,%d) = %v, want %v", g, i, j, got, want)
			}
		}
	}
	for i := range g.m - 1 {
		for j := g.n; j < d.ldc; j++ {
			if got, want := result[i*d.ldc+j], d.out[i*d.ldc+j]; math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("%v: wrote %v behind row %d", g, got, i)
			}
		}
	}
}

func gemmCases() []gemmCase {
	var cases []gemmCase
	add := func(m, n, k int) {
		i := len(cases) / 4
		alpha, beta := []float32{1, 0.5, -2}[i%3], []float32{0, 1, -0.75}[i/3%3]
		for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
			cases = append(cases, gemmCase{trans[0], trans[1], m, n, k, i % 4, alpha, beta})
		}
	}
	for s := 1; s <= 33; s++ { // each size once in each place
		add(s, 17, 8)
		add(17, s, 9)
		add(13, 31, s)
	}
	for _, k := range []int{0, 1, 383, 384, 385, 777} { // around the depth of a block
		add(5, 18, k)
		add(50, 50, k)
	}
	add(1, 1, 0)
	add(199, 70, 100) // more than one block of rows
	add(399, 130, 9)  // and a transposed a that is packed: on one thread
	add(399, 130, 50) // and on several
	return cases
}

func TestGemm(t *testing.T) {
	for _, v := range Variants() {
		t.Run(v.String(), func(t *testing.T) {
			c := NewContext(2, WithVariant(v))
			for _, g := range gemmCases() {
				d := g.data(t)
				got := guarded(t, len(d.out))
				copy(got, d.out)
				Gemm(c, g.transA, g.transB, g.m, g.n, g.k, g.alpha, d.a, d.lda, d.b, d.ldb, g.beta, got, d.ldc)
				g.check(t, d, got)
			}
		})
	}
}

// A batch gives the bits of its products one by one, with any strides.
func TestGemmBatch(t *testing.T) {
	for _, v := range Variants() {
		c := NewContext(2, WithVariant(v))
		for _, g := range gemmCases() {
			if g.m*g.n*g.k > 10000 {
				continue
			}
			const batch = 3
			strideC := g.m * (g.n + g.pad)
			d := g.data(t)
			strideB := len(d.b)
			b := make([]float32, batch*strideB)
			fill(rand.New(rand.NewPCG(17, 18)), b)
			got, want := make([]float32, batch*strideC), make([]float32, batch*strideC)
			GemmBatch(c, batch, g.transA, g.transB, g.m, g.n, g.k, g.alpha, d.a, d.lda, 0, b, d.ldb, strideB, g.beta, got, d.ldc, strideC)
			for i := range batch {
				Gemm(c, g.transA, g.transB, g.m, g.n, g.k, g.alpha, d.a, d.lda, b[i*strideB:], d.ldb, g.beta, want[i*strideC:], d.ldc)
			}
			equalBits(t, g.String(), got, want)
		}
	}
}

func TestGemmFloat64(t *testing.T) {
	c := NewContext(1)
	for _, g := range gemmCases() {
		d := g.data(t)
		if g.beta == 0 {
			clear(d.out)
		}
		a, b, out := widened(d.a), widened(d.b), widened(d.out)
		Gemm(c, g.transA, g.transB, g.m, g.n, g.k, float64(g.alpha), a, d.lda, b, d.ldb, float64(g.beta), out, d.ldc)
		got := make([]float32, len(out))
		for i, v := range out {
			got[i] = float32(v)
		}
		g.check(t, d, got)
	}
}

// What the assembly would touch is checked before.
func TestGemmChecks(t *testing.T) {
	c := NewContext(1)
	x := make([]float32, 6)
	for name, f := range map[string]func(){
		"short a":        func() { Gemm(c, false, false, 2, 2, 4, 1, x, 4, x, 2, 0, x, 2) },
		"short b":        func() { Gemm(c, false, true, 2, 4, 2, 1, x, 2, x, 2, 0, x, 4) },
		"short out":      func() { Gemm(c, false, false, 3, 3, 1, 1, x, 1, x, 3, 0, x, 3) },
		"overlapping ld": func() { Gemm(c, false, false, 2, 2, 3, 1, x, 2, x, 2, 0, x, 2) },
		"short batch":    func() { GemmBatch(c, 3, false, false, 1, 1, 1, 1, x, 1, 4, x, 1, 0, 0, x, 1, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}

// On one thread, a product takes its buffers from the pool and allocates nothing.
func TestGemmAllocates(t *testing.T) {
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		if c.vector == nil {
			continue
		}
		for _, trans := range []string{"NN", "NT", "TN"} {
			g := gemmCase{transA: trans[0] == 'T', transB: trans[1] == 'T', m: 100, n: 150, k: 400}
			d := g.data(t)
			if got := testing.AllocsPerRun(5, func() {
				Gemm(c, g.transA, g.transB, g.m, g.n, g.k, 1, d.a, d.lda, d.b, d.ldb, 0, d.out, d.ldc)
			}); got != 0 {
				t.Errorf("%v %s: %v allocations", v, trans, got)
			}
		}
	}
}
