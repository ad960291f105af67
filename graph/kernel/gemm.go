package kernel

// Gemm computes
//
//	out = alpha·op(a)·op(b) + beta·out
//
// with op(a) [m,k], op(b) [k,n] and out [m,n], all row-major. op transposes if its
// flag is set: with transA, a is stored [k,m]; with transB, b is stored [n,k]. lda,
// ldb and ldc are the distances, in elements, between the starts of two stored rows.
// With beta 0, out need not be initialised. out must not overlap a or b.
func Gemm[T Float](c *Context, transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, out []T, ldc int) {
	checkGemm(transA, transB, m, n, k, len(a), lda, len(b), ldb, len(out), ldc)
	if m == 0 || n == 0 {
		return
	}
	out32 := as32(out)
	if c.vector == nil || out32 == nil {
		gemmPlain(c, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, out, ldc)
		return
	}
	p := product{
		gemmKernels: &c.vector.gemm,
		transA:      transA, transB: transB, m: m, n: n, k: k,
		alpha: float32(alpha), a: as32(a), lda: lda, b: as32(b), ldb: ldb, beta: float32(beta), out: out32, ldc: ldc,
	}
	p.compute(c)
}

// GemmBatch computes batch independent products like Gemm's: product i reads a from
// i*strideA on, b from i*strideB on and writes out from i*strideC on. A stride of 0
// shares that operand; the outputs must not overlap. The products run in parallel,
// each on one thread: meant for many small ones, such as the heads of an attention.
func GemmBatch[T Float](c *Context, batch int, transA, transB bool, m, n, k int, alpha T, a []T, lda, strideA int, b []T, ldb, strideB int, beta T, out []T, ldc, strideC int) {
	if batch <= 0 {
		return
	}
	last := batch - 1
	checkGemm(transA, transB, m, n, k, len(a)-last*strideA, lda, len(b)-last*strideB, ldb, len(out)-last*strideC, ldc)
	if m == 0 || n == 0 {
		return
	}
	grain := max(1, flopsParallel/(m*n*max(k, 1)))
	if out32 := as32(out); c.vector != nil && out32 != nil {
		Run(c, batch, grain, productBatch{
			product: product{
				gemmKernels: &c.vector.gemm,
				transA:      transA, transB: transB, m: m, n: n, k: k,
				alpha: float32(alpha), a: as32(a), lda: lda, b: as32(b), ldb: ldb, beta: float32(beta), out: out32, ldc: ldc,
			},
			strideA: strideA, strideB: strideB, strideC: strideC,
		})
		return
	}
	Run(c, batch, grain, plainBatch[T]{transA, transB, m, n, k, alpha, a, lda, strideA, b, ldb, strideB, beta, out, ldc, strideC})
}

// productBatch is a number of products: operands are those of the first.
type productBatch struct {
	product
	strideA, strideB, strideC int
}

func (t *productBatch) Chunk(c *Context, lo, hi int) {
	p := t.product
	p.begin(c, p.blockTiles())
	defer p.end(c)
	for i := lo; i < hi; i++ {
		p.a, p.b, p.out = t.a[i*t.strideA:], t.b[i*t.strideB:], t.out[i*t.strideC:]
		p.serial(c)
	}
}

type plainBatch[T Float] struct {
	transA, transB bool
	m, n, k        int
	alpha          T
	a              []T
	lda, strideA   int
	b              []T
	ldb, strideB   int
	beta           T
	out            []T
	ldc, strideC   int
}

func (t *plainBatch[T]) Chunk(c *Context, lo, hi int) {
	for i := lo; i < hi; i++ {
		gemmPlain(c, t.transA, t.transB, t.m, t.n, t.k, t.alpha, t.a[i*t.strideA:], t.lda, t.b[i*t.strideB:], t.ldb, t.beta, t.out[i*t.strideC:], t.ldc)
	}
}

func checkGemm(transA, transB bool, m, n, k, a, lda, b, ldb, out, ldc int) {
	extent := func(operand string, have, rows, cols, ld int) {
		if rows == 0 || cols == 0 {
			return
		}
		if ld < cols {
			need("Gemm", "a row of "+operand, ld, cols)
		}
		need("Gemm", operand, have, (rows-1)*ld+cols)
	}
	if transA {
		extent("a", a, k, m, lda)
	} else {
		extent("a", a, m, k, lda)
	}
	if transB {
		extent("b", b, n, k, ldb)
	} else {
		extent("b", b, k, n, ldb)
	}
	extent("out", out, m, n, ldc)
}

// gemmPlain is the truth for the micro-kernels: every element of out is summed over k
// in ascending order.
func gemmPlain[T Float](c *Context, transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, out []T, ldc int) {
	if transB {
		t := Scratch[T](c, k*n)
		defer Release(c, t)
		for j := range n {
			for p, v := range b[j*ldb : j*ldb+k] {
				t[p*n+j] = v
			}
		}
		b, ldb = t, n
	}
	rowStride, colStride := lda, 1
	if transA {
		rowStride, colStride = 1, lda
	}
	Run(c, m, 65536/(n*k+1), plainProduct[T]{n, k, alpha, a, rowStride, colStride, b, ldb, beta, out, ldc})
}

// plainProduct computes rows of a product with b as it is.
type plainProduct[T Float] struct {
	n, k                 int
	alpha                T
	a                    []T
	rowStride, colStride int
	b                    []T
	ldb                  int
	beta                 T
	out                  []T
	ldc                  int
}

func (t *plainProduct[T]) Chunk(_ *Context, lo, hi int) {
	n, k, alpha, a, colStride, b, ldb, beta := t.n, t.k, t.alpha, t.a, t.colStride, t.b, t.ldb, t.beta
	for i := lo; i < hi; i++ {
		row := t.out[i*t.ldc : i*t.ldc+n]
		if beta == 0 {
			clear(row)
		} else if beta != 1 {
			for j := range row {
				row[j] *= beta
			}
		}
		p := 0
		for ; p+4 <= k; p += 4 {
			at := i*t.rowStride + p*colStride
			a0, a1 := alpha*a[at], alpha*a[at+colStride]
			a2, a3 := alpha*a[at+2*colStride], alpha*a[at+3*colStride]
			b0, b1 := b[p*ldb:][:n], b[(p+1)*ldb:][:n]
			b2, b3 := b[(p+2)*ldb:][:n], b[(p+3)*ldb:][:n]
			for j, v := range row {
				row[j] = v + a0*b0[j] + a1*b1[j] + a2*b2[j] + a3*b3[j]
			}
		}
		for ; p < k; p++ {
			axpyPlain(alpha*a[i*t.rowStride+p*colStride], b[p*ldb:p*ldb+n], row)
		}
	}
}
