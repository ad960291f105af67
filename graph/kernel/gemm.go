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
		a32, b32 := as32(a), as32(b)
		c.Parallel(batch, grain, func(lo, hi int) {
			p := product{
				gemmKernels: &c.vector.gemm,
				transA:      transA, transB: transB, m: m, n: n, k: k,
				alpha: float32(alpha), lda: lda, ldb: ldb, beta: float32(beta), ldc: ldc,
			}
			p.begin(c)
			defer p.end(c)
			for i := lo; i < hi; i++ {
				p.a, p.b, p.out = a32[i*strideA:], b32[i*strideB:], out32[i*strideC:]
				p.serial(c)
			}
		})
		return
	}
	c.Parallel(batch, grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			gemmPlain(c.Serial(), transA, transB, m, n, k, alpha, a[i*strideA:], lda, b[i*strideB:], ldb, beta, out[i*strideC:], ldc)
		}
	})
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
	c.Parallel(m, max(1, 65536/(n*k+1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row := out[i*ldc : i*ldc+n]
			if beta == 0 {
				clear(row)
			} else if beta != 1 {
				for j := range row {
					row[j] *= beta
				}
			}
			p := 0
			for ; p+4 <= k; p += 4 {
				at := i*rowStride + p*colStride
				a0, a1 := alpha*a[at], alpha*a[at+colStride]
				a2, a3 := alpha*a[at+2*colStride], alpha*a[at+3*colStride]
				b0, b1 := b[p*ldb:][:n], b[(p+1)*ldb:][:n]
				b2, b3 := b[(p+2)*ldb:][:n], b[(p+3)*ldb:][:n]
				for j, v := range row {
					row[j] = v + a0*b0[j] + a1*b1[j] + a2*b2[j] + a3*b3[j]
				}
			}
			for ; p < k; p++ {
				axpyPlain(alpha*a[i*rowStride+p*colStride], b[p*ldb:p*ldb+n], row)
			}
		}
	})
}
