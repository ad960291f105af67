/*
 * The part of the cuBLAS API that this package calls: its own declarations, so that no toolkit is needed. They are the
 * same in cuBLAS 11, 12 and 13 (the _v2 entry points are what NVIDIA's header maps the plain names to). Matrices and
 * workspaces are device addresses, which Go keeps as integers, so they are uintptr_t here.
 *
 * One prototype a line: internal/trampolines reads them.
 */
#ifndef MODELDOCTOR_CUBLAS_H
#define MODELDOCTOR_CUBLAS_H

#include <stddef.h>
#include <stdint.h>

typedef struct cublasContext *cublasHandle_t;

typedef enum {
	CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_INITIALIZED = 1, CUBLAS_STATUS_ALLOC_FAILED = 3,
	CUBLAS_STATUS_INVALID_VALUE = 7, CUBLAS_STATUS_ARCH_MISMATCH = 8, CUBLAS_STATUS_EXECUTION_FAILED = 13,
	CUBLAS_STATUS_INTERNAL_ERROR = 14, CUBLAS_STATUS_NOT_SUPPORTED = 15,
} cublasStatus_t;

typedef enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 } cublasOperation_t;
typedef enum { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 } cublasComputeType_t;
typedef enum { CUBLAS_GEMM_DEFAULT = -1 } cublasGemmAlgo_t;
typedef enum { CUDA_R_32F = 0, CUDA_R_16BF = 14 } cudaDataType;
typedef enum { MAJOR_VERSION = 0, MINOR_VERSION = 1, PATCH_LEVEL = 2 } libraryPropertyType;

#define cublasCreate cublasCreate_v2
#define cublasDestroy cublasDestroy_v2
#define cublasSetStream cublasSetStream_v2
#define cublasSetWorkspace cublasSetWorkspace_v2

cublasStatus_t cublasCreate(cublasHandle_t *);
cublasStatus_t cublasDestroy(cublasHandle_t);
cublasStatus_t cublasSetStream(cublasHandle_t, void *);
cublasStatus_t cublasSetWorkspace(cublasHandle_t, uintptr_t, size_t);
cublasStatus_t cublasGetProperty(libraryPropertyType, int *);
cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const float *, uintptr_t, cudaDataType, int, uintptr_t, cudaDataType, int, const float *, uintptr_t, cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const float *, uintptr_t, cudaDataType, int, long long, uintptr_t, cudaDataType, int, long long, const float *, uintptr_t, cudaDataType, int, long long, int, cublasComputeType_t, cublasGemmAlgo_t);
const char *cublasGetStatusName(cublasStatus_t);
const char *cublasGetStatusString(cublasStatus_t);

#endif
