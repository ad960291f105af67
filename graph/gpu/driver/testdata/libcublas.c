/*
 * A cuBLAS for the tests of a machine without a GPU, in which matrices are in the host's memory: the textbook's product of
 * matrices stored column by column. FAKE_CUBLAS_FAIL=code has every product answer that.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cublas.h"

cublasStatus_t cublasCreate(cublasHandle_t *h) { *h = (cublasHandle_t)1; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy(cublasHandle_t h) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream(cublasHandle_t h, void *s) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace(cublasHandle_t h, uintptr_t p, size_t n) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGetProperty(libraryPropertyType t, int *v) { *v = t == MAJOR_VERSION ? 13 : 1; return CUBLAS_STATUS_SUCCESS; }
const char *cublasGetStatusName(cublasStatus_t s) { return s == CUBLAS_STATUS_ALLOC_FAILED ? "CUBLAS_STATUS_ALLOC_FAILED" : NULL; }
const char *cublasGetStatusString(cublasStatus_t s) { return s == CUBLAS_STATUS_ALLOC_FAILED ? "the resource allocation failed" : NULL; }

/* The element (row, column) of op(m), m stored column by column, as a product of that precision reads it. */
static float element(uintptr_t m, int transposed, cudaDataType type, cublasComputeType_t compute, int lead, int row, int column) {
	size_t i = transposed ? column + (size_t)row * lead : row + (size_t)column * lead;
	uint32_t bits;
	if (type == CUDA_R_16BF)
		bits = (uint32_t)((uint16_t *)m)[i] << 16;
	else
		bits = ((uint32_t *)m)[i];
	if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) bits &= ~0x1fffu;
	float f;
	memcpy(&f, &bits, sizeof f);
	return f;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
	const float *alpha, uintptr_t a, cudaDataType at, int lda, long long sa, uintptr_t b, cudaDataType bt, int ldb, long long sb,
	const float *beta, uintptr_t c, cudaDataType ct, int ldc, long long sc, int batch, cublasComputeType_t compute, cublasGemmAlgo_t algo) {
	const char *fail = getenv("FAKE_CUBLAS_FAIL");
	if (fail && *fail) return (cublasStatus_t)atoi(fail);
	if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
	for (int i = 0; i < batch; i++) {
		float *C = (float *)c + i * sc;
		for (int column = 0; column < n; column++)
			for (int row = 0; row < m; row++) {
				double sum = 0;
				for (int j = 0; j < k; j++)
					sum += (double)element(a + i * sa * (at == CUDA_R_16BF ? 2 : 4), ta, at, compute, lda, row, j) *
						element(b + i * sb * (bt == CUDA_R_16BF ? 2 : 4), tb, bt, compute, ldb, j, column);
				float *e = &C[row + (size_t)column * ldc];
				*e = *alpha * sum + (*beta ? *beta * *e : 0);
			}
	}
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const float *alpha,
	uintptr_t a, cudaDataType at, int lda, uintptr_t b, cudaDataType bt, int ldb, const float *beta, uintptr_t c, cudaDataType ct,
	int ldc, cublasComputeType_t compute, cublasGemmAlgo_t algo) {
	return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, compute, algo);
}
