//go:build gpu && linux && cgo

package driver

/*
#include "cublas.h"

// The host's scalars, as cuBLAS wants them, by address.
static cublasStatus_t gemm(cublasHandle_t h, int ta, int tb, int m, int n, int k, float alpha, uintptr_t a, int lda,
	uintptr_t b, int ldb, float beta, uintptr_t c, int ldc, int type, int result, int compute) {
	return cublasGemmEx(h, ta, tb, m, n, k, &alpha, a, type, lda, b, type, ldb, &beta, c, result, ldc, compute,
		CUBLAS_GEMM_DEFAULT);
}
static cublasStatus_t gemm_batch(cublasHandle_t h, int ta, int tb, int m, int n, int k, float alpha, uintptr_t a,
	int lda, long long sa, uintptr_t b, int ldb, long long sb, float beta, uintptr_t c, int ldc, long long sc, int batch,
	int type, int result, int compute) {
	return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, &alpha, a, type, lda, sa, b, type, ldb, sb, &beta, c,
		result, ldc, sc, batch, compute, CUBLAS_GEMM_DEFAULT);
}
*/
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// WorkspaceBytes is what the products of a stream take of the device's memory, from the first on: as much as cuBLAS
// itself takes on the largest GPUs. Its own would be allocated where no error of ours could say so; and with one handle
// and workspace per stream the same product gives the same bits every time.
const WorkspaceBytes = 32 << 20

// blas is cuBLAS bound to a stream.
type blas struct {
	device    *Device
	handle    C.cublasHandle_t
	workspace Ptr
	products  map[ltShape]*ltProduct // nil where cuBLASLt has none
}

func (s *Stream) newBlas() (*blas, error) {
	b := &blas{device: s.device, products: map[ltShape]*ltProduct{}}
	var err error
	if b.workspace, err = s.device.Alloc(WorkspaceBytes); err != nil {
		return nil, fmt.Errorf("workspace of cuBLAS: %w", err)
	}
	err = s.device.do("cublasCreate", func() error {
		if err := cublasError("cublasCreate", C.cublasCreate(&b.handle)); err != nil {
			return err
		}
		if err := cublasError("cublasSetStream", C.cublasSetStream(b.handle, unsafe.Pointer(s.stream.C()))); err != nil {
			return err
		}
		return cublasError("cublasSetWorkspace", C.cublasSetWorkspace(b.handle, C.uintptr_t(b.workspace), WorkspaceBytes))
	})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *blas) close() error {
	for _, p := range b.products {
		p.destroy()
	}
	var destroyed error
	if b.handle != nil {
		destroyed = b.device.do("cublasDestroy", func() error {
			return cublasError("cublasDestroy", C.cublasDestroy(b.handle))
		})
	}
	return cmp.Or(destroyed, b.device.Free(b.workspace))
}

// compute returns a precision's cublasComputeType_t.
func (p Precision) compute() C.int {
	if p == TF32 {
		return C.CUBLAS_COMPUTE_32F_FAST_TF32
	}
	return C.CUBLAS_COMPUTE_32F
}

// dataType returns the cudaDataType of a matrix.
func (m Matrix) dataType() C.int {
	if m.BFloat16 {
		return C.CUDA_R_16BF
	}
	return C.CUDA_R_32F
}

func operation(trans bool) C.int {
	if trans {
		return C.CUBLAS_OP_T
	}
	return C.CUBLAS_OP_N
}

// Gemm computes C ← alpha·A·B + beta·C for A of m×k, B of k×n and C of m×n, each stored row by row; a factor whose Trans
// is set is stored as its transpose. With beta 0, C need not hold numbers.
func (s *Stream) Gemm(p Precision, m, n, k int, alpha float32, a, b Matrix, beta float32, c Matrix) error {
	return s.multiply("cublasGemmEx", p, 1, m, n, k, a, b, c, func(h C.cublasHandle_t) C.cublasStatus_t {
		return C.gemm(h, operation(b.Trans), operation(a.Trans), C.int(n), C.int(m), C.int(k), C.float(alpha),
			C.uintptr_t(b.Data), C.int(b.Lead), C.uintptr_t(a.Data), C.int(a.Lead), C.float(beta),
			C.uintptr_t(c.Data), C.int(c.Lead), a.dataType(), c.dataType(), p.compute())
	})
}

// GemmBatch computes what Gemm does for each of a batch of matrices.
func (s *Stream) GemmBatch(p Precision, batch, m, n, k int, alpha float32, a, b Matrix, beta float32, c Matrix) error {
	return s.multiply("cublasGemmStridedBatchedEx", p, batch, m, n, k, a, b, c, func(h C.cublasHandle_t) C.cublasStatus_t {
		return C.gemm_batch(h, operation(b.Trans), operation(a.Trans), C.int(n), C.int(m), C.int(k), C.float(alpha),
			C.uintptr_t(b.Data), C.int(b.Lead), C.longlong(b.Stride),
			C.uintptr_t(a.Data), C.int(a.Lead), C.longlong(a.Stride), C.float(beta),
			C.uintptr_t(c.Data), C.int(c.Lead), C.longlong(c.Stride), C.int(batch), a.dataType(), c.dataType(), p.compute())
	})
}

// multiply calls cuBLAS with the stream's handle. cuBLAS takes matrices stored column by column; a matrix stored row by
// row is, to it, the transpose. So it is asked for Cᵀ = Bᵀ·Aᵀ: the factors change places, and so do m and n, and each
// keeps its Trans.
func (s *Stream) multiply(call string, p Precision, batch, m, n, k int, a, b, c Matrix,
	f func(C.cublasHandle_t) C.cublasStatus_t) error {
	for _, size := range []int{batch, m, n, k, a.Lead, b.Lead, c.Lead} {
		if size < 0 || size > math.MaxInt32 {
			return fmt.Errorf("%s: a size of %d", call, size)
		}
	}
	if half := p == BF16; a.BFloat16 != half || b.BFloat16 != half {
		return fmt.Errorf("%s: factors of a %v product are not in its format", call, p)
	}
	if batch == 0 || m == 0 || n == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blas == nil {
		var err error
		if s.blas, err = s.newBlas(); err != nil {
			return err
		}
	}
	err := s.device.do(call, func() error { return cublasError(call, f(s.blas.handle)) })
	if err != nil {
		return fmt.Errorf("%v product, %d of %d×%d by %d×%d: %w", p, batch, m, k, k, n, err)
	}
	return nil
}
