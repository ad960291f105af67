/*
 * A cuBLAS for the tests of a machine without a GPU, in which matrices are in the host's memory: the textbook's product of
 * matrices stored column by column. FAKE_CUBLAS_FAIL=code has every product answer that.
 */
#include <stdlib.h>

#include "cublas.h"
#include "product.h"

cublasStatus_t cublasCreate(cublasHandle_t *h) { *h = (cublasHandle_t)1; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy(cublasHandle_t h) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream(cublasHandle_t h, void *s) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace(cublasHandle_t h, uintptr_t p, size_t n) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGetProperty(libraryPropertyType t, int *v) { *v = t == MAJOR_VERSION ? 13 : 1; return CUBLAS_STATUS_SUCCESS; }
const char *cublasGetStatusName(cublasStatus_t s) { return s == CUBLAS_STATUS_ALLOC_FAILED ? "CUBLAS_STATUS_ALLOC_FAILED" : NULL; }
const char *cublasGetStatusString(cublasStatus_t s) { return s == CUBLAS_STATUS_ALLOC_FAILED ? "the resource allocation failed" : NULL; }

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
	const float *alpha, uintptr_t a, cudaDataType at, int lda, long long sa, uintptr_t b, cudaDataType bt, int ldb, long long sb,
	const float *beta, uintptr_t c, cudaDataType ct, int ldc, long long sc, int batch, cublasComputeType_t compute, cublasGemmAlgo_t algo) {
	const char *fail = getenv("FAKE_CUBLAS_FAIL");
	if (fail && *fail) return (cublasStatus_t)atoi(fail);
	if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
	for (int i = 0; i < batch; i++) {
		struct factor x = {a + i * sa * bytes_of(at), at, ta, lda}, y = {b + i * sb * bytes_of(bt), bt, tb, ldb};
		char *C = (char *)c + i * sc * bytes_of(ct);
		multiply(m, n, k, *alpha, x, y, compute, NULL, *beta, C, C, ct, ldc);
	}
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const float *alpha,
	uintptr_t a, cudaDataType at, int lda, uintptr_t b, cudaDataType bt, int ldb, const float *beta, uintptr_t c, cudaDataType ct,
	int ldc, cublasComputeType_t compute, cublasGemmAlgo_t algo) {
	return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, compute, algo);
}
