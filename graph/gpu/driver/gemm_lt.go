//go:build gpu && linux && cgo

package driver

/*
#include <stdlib.h>
#include "cublas.h"

// A product as cuBLASLt runs it: descriptors and the algorithm chosen for them.
typedef struct {
	cublasLtMatmulDesc_t operation;
	cublasLtMatrixLayout_t a, b, c;
	cublasLtMatmulAlgo_t algorithm;
} lt_product;

static void lt_destroy(lt_product *p) {
	if (p->operation) cublasLtMatmulDescDestroy(p->operation);
	if (p->a) cublasLtMatrixLayoutDestroy(p->a);
	if (p->b) cublasLtMatrixLayoutDestroy(p->b);
	if (p->c) cublasLtMatrixLayoutDestroy(p->c);
	free(p);
}

static cublasStatus_t lt_describe(lt_product *p, int ta, int tb, int m, int n, int k, int lda, int ldb, int ldc, int type,
	int result, int compute, int epilogue) {
	cublasStatus_t s = cublasLtMatmulDescCreate(&p->operation, compute, CUDA_R_32F);
	int32_t a = ta, b = tb;
	uint32_t e = epilogue;
	if (!s) s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a);
	if (!s) s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b);
	if (!s) s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &e, sizeof e);
	if (!s) s = cublasLtMatrixLayoutCreate(&p->a, type, ta ? k : m, ta ? m : k, lda);
	if (!s) s = cublasLtMatrixLayoutCreate(&p->b, type, tb ? n : k, tb ? k : n, ldb);
	if (!s) s = cublasLtMatrixLayoutCreate(&p->c, result, m, n, ldc);
	return s;
}

static cublasStatus_t lt_set_bias(lt_product *p, uintptr_t bias) {
	return bias ? cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias) : CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t lt_choose(cublasHandle_t h, lt_product *p, uint64_t workspace, const uint32_t *aligned) {
	cublasLtMatmulPreference_t wish = NULL;
	cublasLtMatmulHeuristicResult_t best = {0};
	int found = 0;
	cublasStatus_t s = cublasLtMatmulPreferenceCreate(&wish);
	if (!s) s = cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
	for (int i = 0; i < 4 && !s; i++) // A, B, C, D
		s = cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + i, &aligned[i], sizeof aligned[i]);
	if (!s) s = cublasLtMatmulAlgoGetHeuristic(h, p->operation, p->a, p->b, p->c, p->c, wish, 1, &best, &found);
	if (!s) s = found < 1 ? CUBLAS_STATUS_NOT_SUPPORTED : best.state;
	p->algorithm = best.algo;
	if (wish) cublasLtMatmulPreferenceDestroy(wish);
	return s;
}

// D is laid out as C is.
static cublasStatus_t lt_run(cublasHandle_t h, lt_product *p, uintptr_t a, uintptr_t b, float beta, uintptr_t c, uintptr_t d,
	uintptr_t workspace, size_t bytes, void *stream) {
	float alpha = 1;
	return cublasLtMatmul(h, p->operation, &alpha, a, p->a, b, p->b, &beta, c, p->c, d, p->c, &p->algorithm, workspace, bytes, stream);
}
*/
import "C"

import "unsafe"

// ltProduct is a product that cuBLASLt can compute, and how.
type ltProduct C.lt_product

func (p *ltProduct) destroy() {
	if p != nil {
		C.lt_destroy((*C.lt_product)(p))
	}
}

// setBias says where the row is that is added. 0 is none.
func (p *ltProduct) setBias(bias Ptr) C.cublasStatus_t {
	return C.lt_set_bias((*C.lt_product)(p), C.uintptr_t(bias))
}

// ltShape is what cuBLASLt chooses an algorithm by. The factors are those of cuBLAS's product, which change places.
type ltShape struct {
	precision      Precision
	m, n, k        int
	lda, ldb, ldc  int
	transA, transB bool
	bias, residual bool
	bfloat16       bool      // C and D
	aligned        [4]uint32 // bytes, of A, B, C and D
}

// alignment returns the largest power of 2 up to 64 that divides all addresses. No more is asked of an algorithm, so that
// it is the same wherever the arrays lie.
func alignment(addresses ...Ptr) uint32 {
	all := Ptr(64)
	for _, p := range addresses {
		all |= p
	}
	return uint32(all & -all)
}

// ltMost bounds the rows and columns that are left to cuBLASLt: that of CUDA 11 fails beyond, where its grids of blocks,
// 32 by 32, would have more than 65535 along a side.
const ltMost = 32 * 65535

// GemmAdd computes C ← A·B + bias + residual as Gemm does, in one launch, and reports whether it did: this cuBLAS may
// have no such product, or cuBLASLt not be there. bias, one number for each column of C, and residual, which is laid out
// as C is and may be C, can each be 0 for none; both are of C's format.
func (s *Stream) GemmAdd(p Precision, m, n, k int, a, b Matrix, bias, residual Ptr, c Matrix) (done bool, err error) {
	err = s.multiply("cublasLtMatmul", p, 1, m, n, k, a, b, c, func(h C.cublasHandle_t) C.cublasStatus_t {
		if k == 0 || max(m, n) > ltMost {
			return C.CUBLAS_STATUS_SUCCESS
		}
		// A bias that is less aligned than C makes what adds it less so.
		at := [4]uint32{alignment(b.Data), alignment(a.Data), alignment(c.Data, residual), alignment(c.Data, bias)}
		shape := ltShape{p, n, m, k, b.Lead, a.Lead, c.Lead, b.Trans, a.Trans, bias != 0, residual != 0, c.BFloat16, at}
		product := s.blas.ltProduct(shape, bias)
		if product == nil || product.setBias(bias) != C.CUBLAS_STATUS_SUCCESS {
			return C.CUBLAS_STATUS_SUCCESS
		}
		beta, from := C.float(0), c.Data
		if residual != 0 {
			beta, from = 1, residual
		}
		status := C.lt_run(h, (*C.lt_product)(product), C.uintptr_t(b.Data), C.uintptr_t(a.Data), beta, C.uintptr_t(from), C.uintptr_t(c.Data),
			C.uintptr_t(s.blas.workspace), WorkspaceBytes, unsafe.Pointer(s.stream.C()))
		switch status {
		case C.CUBLAS_STATUS_SUCCESS:
			done = true
		case C.CUBLAS_STATUS_NOT_SUPPORTED, C.CUBLAS_STATUS_INVALID_VALUE, C.CUBLAS_STATUS_ARCH_MISMATCH:
			// Nothing was launched. The other way to multiply says so if it is the caller's fault.
			product.destroy()
			s.blas.products[shape] = nil
			return C.CUBLAS_STATUS_SUCCESS
		}
		return status
	})
	return done, err
}

// ltProduct returns how to compute a product, nil if cuBLASLt does not. It is asked once for each shape, since its answer
// takes many times as long as a launch.
func (b *blas) ltProduct(s ltShape, bias Ptr) *ltProduct {
	if p, known := b.products[s]; known {
		return p
	}
	p := b.newLtProduct(s, bias)
	b.products[s] = p
	return p
}

func (b *blas) newLtProduct(s ltShape, bias Ptr) *ltProduct {
	epilogue := C.int(C.CUBLASLT_EPILOGUE_DEFAULT)
	if s.bias {
		epilogue = C.CUBLASLT_EPILOGUE_BIAS
	}
	factors, result := Matrix{BFloat16: s.precision == BF16}, Matrix{BFloat16: s.bfloat16}
	p := (*C.lt_product)(C.calloc(1, C.sizeof_lt_product))
	status := C.lt_describe(p, operation(s.transA), operation(s.transB), C.int(s.m), C.int(s.n), C.int(s.k),
		C.int(s.lda), C.int(s.ldb), C.int(s.ldc), factors.dataType(), result.dataType(), s.precision.compute(), epilogue)
	if status == C.CUBLAS_STATUS_SUCCESS { // which algorithm does depends on the bias's alignment, too
		status = (*ltProduct)(p).setBias(bias)
	}
	if status == C.CUBLAS_STATUS_SUCCESS {
		status = C.lt_choose(b.handle, p, WorkspaceBytes, (*C.uint32_t)(&s.aligned[0]))
	}
	if status != C.CUBLAS_STATUS_SUCCESS {
		(*ltProduct)(p).destroy()
		return nil
	}
	return (*ltProduct)(p)
}
