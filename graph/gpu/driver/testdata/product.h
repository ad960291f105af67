/* The product of matrices in the host's memory, stored column by column, by its definition. */
#include <stddef.h>
#include <string.h>

#include "cublas.h"

struct factor {
	uintptr_t data;
	cudaDataType type;
	int transposed, lead;
};

static int bytes_of(cudaDataType type) { return type == CUDA_R_16BF ? 2 : 4; }

/* The element (row, column) of a factor, as a product of that precision reads it. */
static float element(struct factor f, cublasComputeType_t compute, int row, int column) {
	size_t i = f.transposed ? column + (size_t)row * f.lead : row + (size_t)column * f.lead;
	uint32_t bits = f.type == CUDA_R_16BF ? (uint32_t)((uint16_t *)f.data)[i] << 16 : ((uint32_t *)f.data)[i];
	if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) bits &= ~0x1fffu;
	float v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

/* Element i of an array. */
static float number(const void *x, cudaDataType type, size_t i) {
	uint32_t bits = type == CUDA_R_16BF ? (uint32_t)((const uint16_t *)x)[i] << 16 : ((const uint32_t *)x)[i];
	float v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

/* D = alpha*A*B + beta*C + bias, which has an element for each row and may be NULL; all but the factors are of a type. */
static void multiply(int m, int n, int k, float alpha, struct factor a, struct factor b, cublasComputeType_t compute, const void *bias,
	float beta, const void *C, void *D, cudaDataType type, int lead) {
	for (int column = 0; column < n; column++)
		for (int row = 0; row < m; row++) {
			double sum = 0;
			for (int j = 0; j < k; j++) sum += (double)element(a, compute, row, j) * element(b, compute, j, column);
			size_t at = row + (size_t)column * lead;
			float v = alpha * sum + (beta ? beta * number(C, type, at) : 0) + (bias ? number(bias, type, row) : 0);
			uint32_t bits;
			memcpy(&bits, &v, sizeof v);
			if (type == CUDA_R_16BF) ((uint16_t *)D)[at] = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
			else ((float *)D)[at] = v;
		}
}
