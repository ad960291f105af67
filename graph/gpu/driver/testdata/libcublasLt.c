/*
 * A cuBLASLt beside libcublas.c: products with a bias and another matrix for C. Like NVIDIA's it wants memory as aligned as
 * it was told when it chose an algorithm, and has none for what is not aligned to 8 bytes, or while FAKE_CUBLASLT_NONE is set.
 * FAKE_CUBLASLT_FAIL=code has every product answer that.
 */
#include <stdlib.h>

#include "cublas.h"
#include "product.h"

struct cublasLtMatmulDesc {
	cublasComputeType_t compute;
	int32_t ta, tb;
	uint32_t epilogue;
	const float *bias;
};
struct cublasLtMatrixLayout {
	cudaDataType type;
	uint64_t rows, columns;
	int64_t lead;
};
struct cublasLtMatmulPreference {
	uint64_t workspace;
	uint32_t aligned[4];
};

#define MAKE(p) (*(p) = calloc(1, sizeof **(p)))
#define SET(field) (size == sizeof(field) ? (memcpy(&(field), value, size), CUBLAS_STATUS_SUCCESS) : CUBLAS_STATUS_INVALID_VALUE)

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType scale) {
	if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
	MAKE(d)->compute = compute;
	(*d)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
	return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { free(d); return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what, const void *value, size_t size) {
	switch (what) {
	case CUBLASLT_MATMUL_DESC_TRANSA: return SET(d->ta);
	case CUBLASLT_MATMUL_DESC_TRANSB: return SET(d->tb);
	case CUBLASLT_MATMUL_DESC_EPILOGUE: return SET(d->epilogue);
	case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return SET(d->bias);
	}
	return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows, uint64_t columns, int64_t lead) {
	MAKE(l);
	**l = (struct cublasLtMatrixLayout){type, rows, columns, lead};
	return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { free(l); return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) {
	MAKE(p);
	for (int i = 0; i < 4; i++) (*p)->aligned[i] = 256;
	return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { free(p); return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what, const void *value,
	size_t size) {
	if (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return SET(p->workspace);
	return SET(p->aligned[what - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES]);
}

/* The algorithm is what it was chosen for. */
struct algorithm {
	uint64_t workspace;
	uint32_t aligned[4];
};
_Static_assert(sizeof(struct algorithm) <= sizeof(cublasLtMatmulAlgo_t), "");

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
	cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to, cublasLtMatmulPreference_t p, int n, cublasLtMatmulHeuristicResult_t *results, int *found) {
	struct algorithm chosen = {p->workspace};
	*found = 0;
	if (getenv("FAKE_CUBLASLT_NONE")) return CUBLAS_STATUS_SUCCESS;
	for (int i = 0; i < 4; i++)
		if ((chosen.aligned[i] = p->aligned[i]) < 8) return CUBLAS_STATUS_NOT_SUPPORTED;
	memcpy(&results[0].algo, &chosen, sizeof chosen);
	*found = 1;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasHandle_t h, cublasLtMatmulDesc_t d, const float *alpha, uintptr_t a, cublasLtMatrixLayout_t la, uintptr_t b,
	cublasLtMatrixLayout_t lb, const float *beta, uintptr_t c, cublasLtMatrixLayout_t lc, uintptr_t to, cublasLtMatrixLayout_t ld,
	const cublasLtMatmulAlgo_t *algo, uintptr_t workspace, size_t bytes, void *stream) {
	const char *fail = getenv("FAKE_CUBLASLT_FAIL");
	if (fail && *fail) return (cublasStatus_t)atoi(fail);
	struct algorithm chosen;
	memcpy(&chosen, algo, sizeof chosen);
	uintptr_t at[] = {a, b, c, to};
	for (int i = 0; i < 4; i++)
		if (at[i] % chosen.aligned[i]) return CUBLAS_STATUS_INVALID_VALUE;
	int m = ld->rows, n = ld->columns, k = d->ta ? la->rows : la->columns;
	struct factor x = {a, la->type, d->ta, la->lead}, y = {b, lb->type, d->tb, lb->lead};
	int bad = (d->ta ? la->columns : la->rows) != m || (d->tb ? lb->columns : lb->rows) != k || (d->tb ? lb->rows : lb->columns) != n ||
		lc->lead != ld->lead || la->lead < la->rows || lb->lead < lb->rows || ld->lead < m || bytes < chosen.workspace || !workspace;
	if (bad || (d->epilogue == CUBLASLT_EPILOGUE_BIAS) != (d->bias != NULL)) return CUBLAS_STATUS_INVALID_VALUE;
	multiply(m, n, k, *alpha, x, y, d->compute, d->bias, *beta, (const void *)c, (void *)to, ld->type, ld->lead);
	return CUBLAS_STATUS_SUCCESS;
}
