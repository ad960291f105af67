/*
 * A driver for the tests of a machine without a GPU: the device's memory is the host's, and each call is done before it
 * returns. There is one kernel, axpy. Each call checks that the thread has a current context where the real driver would.
 *
 *   FAKE_CUDA_FAIL     symbol=code, what a call answers ("cuLaunchKernel=719", "cuMemAlloc_v2=2")
 *   FAKE_CUDA_VERSION  the driver's version, 13000 if unset
 *   FAKE_CUDA_DEVICES  how many, 1 if unset
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda.h"

static _Thread_local CUcontext current;

static int number(const char *variable, int otherwise) {
	const char *value = getenv(variable);
	return value && *value ? atoi(value) : otherwise;
}

static CUresult fault(const char *name) {
	const char *fail = getenv("FAKE_CUDA_FAIL");
	size_t n = strlen(name);
	return fail && !strncmp(fail, name, n) && fail[n] == '=' ? (CUresult)atoi(fail + n + 1) : CUDA_SUCCESS;
}

#define FAULT CUresult failed = fault(__func__); if (failed) return failed
#define CONTEXT FAULT; if (!current) return CUDA_ERROR_INVALID_CONTEXT

CUresult cuInit(unsigned int flags) { FAULT; return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *v) { FAULT; *v = number("FAKE_CUDA_VERSION", 13000); return CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *n) { FAULT; *n = number("FAKE_CUDA_DEVICES", 1); return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *d, int i) { FAULT; *d = i; return CUDA_SUCCESS; }
CUresult cuDeviceGetName(char *s, int n, CUdevice d) { FAULT; snprintf(s, n, "Fake GPU %d", d); return CUDA_SUCCESS; }
CUresult cuDeviceTotalMem(size_t *b, CUdevice d) { FAULT; *b = 1u << 30; return CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice d) {
	FAULT;
	*v = a == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 7 : 5;
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) { FAULT; *c = (CUcontext)1; return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease(CUdevice d) { FAULT; return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext c) { FAULT; current = c; return CUDA_SUCCESS; }

CUresult cuMemGetInfo(size_t *f, size_t *t) { CONTEXT; *f = 1u << 29; *t = 1u << 30; return CUDA_SUCCESS; }
CUresult cuMemAlloc(CUdeviceptr *p, size_t n) {
	CONTEXT;
	if (!n) return CUDA_ERROR_INVALID_VALUE;
	if (n > 1u << 30) return CUDA_ERROR_OUT_OF_MEMORY;
	*p = (CUdeviceptr)aligned_alloc(256, (n + 255) / 256 * 256);
	memset((void *)*p, 0xff, n); /* not a number, to those who read what they did not write */
	return CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr p) { CONTEXT; free((void *)p); return CUDA_SUCCESS; }
CUresult cuMemHostAlloc(void **p, size_t n, unsigned int flags) { CONTEXT; *p = malloc(n); return CUDA_SUCCESS; }
CUresult cuMemFreeHost(void *p) { CONTEXT; free(p); return CUDA_SUCCESS; }
CUresult cuMemcpyHtoDAsync(CUdeviceptr d, const void *s, size_t n, CUstream q) { CONTEXT; memcpy((void *)d, s, n); return CUDA_SUCCESS; }
CUresult cuMemcpyDtoHAsync(void *d, CUdeviceptr s, size_t n, CUstream q) { CONTEXT; memcpy(d, (void *)s, n); return CUDA_SUCCESS; }
CUresult cuMemcpyDtoDAsync(CUdeviceptr d, CUdeviceptr s, size_t n, CUstream q) { CONTEXT; memcpy((void *)d, (void *)s, n); return CUDA_SUCCESS; }
CUresult cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream q) { CONTEXT; memset((void *)d, v, n); return CUDA_SUCCESS; }

CUresult cuModuleLoadDataEx(CUmodule *m, const void *image, unsigned int n, CUjit_option *options, void **values) {
	CONTEXT;
	if (!strstr(image, ".version")) {
		char *log = NULL;
		size_t room = 0;
		for (unsigned int i = 0; i < n; i++) {
			if (options[i] == CU_JIT_ERROR_LOG_BUFFER) log = values[i];
			if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) room = (size_t)values[i];
		}
		if (log) snprintf(log, room, "line 1: missing .version\n");
		return CUDA_ERROR_INVALID_PTX;
	}
	*m = (CUmodule)1;
	return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule m) { CONTEXT; return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) {
	CONTEXT;
	if (strcmp(name, "axpy")) return CUDA_ERROR_NOT_FOUND;
	*f = (CUfunction)1;
	return CUDA_SUCCESS;
}

/* y += a·x, over n elements, one a thread. */
CUresult cuLaunchKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, unsigned int by,
	unsigned int bz, unsigned int shared, CUstream s, void **params, void **extra) {
	CONTEXT;
	if (!gx || !gy || !gz || !bx || !by || !bz) return CUDA_ERROR_INVALID_VALUE;
	float *y = *(float **)params[0], *x = *(float **)params[1], a = *(float *)params[2];
	int n = *(int *)params[3];
	for (unsigned int i = 0; i < gx * bx && (int)i < n; i++) y[i] += a * x[i];
	return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *s, unsigned int flags) { CONTEXT; *s = (CUstream)1; return CUDA_SUCCESS; }
CUresult cuStreamDestroy(CUstream s) { CONTEXT; return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream s) { CONTEXT; return CUDA_SUCCESS; }
CUresult cuStreamWaitEvent(CUstream s, CUevent e, unsigned int flags) { CONTEXT; return CUDA_SUCCESS; }

CUresult cuEventCreate(CUevent *e, unsigned int flags) { CONTEXT; *e = calloc(1, sizeof(struct timespec)); return CUDA_SUCCESS; }
CUresult cuEventDestroy(CUevent e) { CONTEXT; free(e); return CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent e, CUstream s) { CONTEXT; clock_gettime(CLOCK_MONOTONIC, (struct timespec *)e); return CUDA_SUCCESS; }
CUresult cuEventSynchronize(CUevent e) { CONTEXT; return CUDA_SUCCESS; }
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) {
	CONTEXT;
	struct timespec *s = (struct timespec *)start, *e = (struct timespec *)end;
	*ms = 1e3 * (e->tv_sec - s->tv_sec) + 1e-6 * (e->tv_nsec - s->tv_nsec);
	return CUDA_SUCCESS;
}

static const struct { CUresult code; const char *name, *text; } errors[] = {
	{CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
	{CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
	{CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
	{(CUresult)222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
	{CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
	{CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
};
CUresult cuGetErrorName(CUresult code, const char **s) {
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (errors[i].code == code) { *s = errors[i].name; return CUDA_SUCCESS; }
	*s = NULL;
	return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuGetErrorString(CUresult code, const char **s) {
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (errors[i].code == code) { *s = errors[i].text; return CUDA_SUCCESS; }
	*s = NULL;
	return CUDA_ERROR_INVALID_VALUE;
}
