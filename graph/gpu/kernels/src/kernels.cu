// The device's kernels. Plain CUDA C for compute capability 7.5 and up: no tensor core
// intrinsics, asynchronous copies, cooperative groups or atomics, at most 48 KiB of shared
// memory, so that the fake device can run the same text on a CPU (see graph/gpu/fake).
//
// All arrays are row-major, elements float unless said otherwise: an array that is void is float or,
// where the kernel's parameter `formats` has its bit, bfloat16. Arithmetic is float's, or double's,
// either way. A sum's order depends on
// the sizes only, never on the device: two runs give the same bits. Products and sums are
// not contracted to fused multiply-adds (-fmad=false): what is written is what is rounded.
//
// A KERNEL's threads are independent. Those of a COOPERATIVE_KERNEL exchange values, within
// warps by shuffles or within the block over shared memory. Blocks have at most 256 threads.
#ifndef KERNEL
#define KERNEL(name, ...) extern "C" __global__ void __launch_bounds__(256) name(__VA_ARGS__)
#define COOPERATIVE_KERNEL(name, ...) KERNEL(name, __VA_ARGS__)
#endif

typedef long long int64;
typedef unsigned char byte;

#define INF __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)

// Loops that threads take turns at are not unrolled: other threads' loads are in flight
// meanwhile, and the text to compile at start-up stays small. Those of one thread along a row
// are, as the compiler sees fit, or, where few threads wait for long rows, UNROLLED, and
// ALL_UNROLLED where they index registers.
#ifdef __CUDACC__
#define NOT_UNROLLED _Pragma("unroll 1")
#define UNROLLED _Pragma("unroll 8")
#define ALL_UNROLLED _Pragma("unroll")
#else
#define NOT_UNROLLED
#define UNROLLED
#define ALL_UNROLLED
#endif

// EACH runs over [0, n) with all threads of a one-dimensional grid.
#define EACH(i, n) NOT_UNROLLED for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (int64)gridDim.x * blockDim.x)

// Two-dimensional grids: threads x run along the rows' elements, threads y over the rows.
#define EACH_ROW(r, rows) NOT_UNROLLED for (unsigned r = blockIdx.y * blockDim.y + threadIdx.y; r < (unsigned)(rows); r += gridDim.y * blockDim.y)
#define EACH_COLUMN(i, columns) for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < (unsigned)(columns); i += gridDim.x * blockDim.x)

// EACH_WARP_ROW gives each row to a warp, in blocks of 32 x 8 threads.
#define EACH_WARP_ROW(r, rows) NOT_UNROLLED for (int64 r = (int64)blockIdx.x * blockDim.y + threadIdx.y; r < (rows); r += (int64)gridDim.x * blockDim.y)
#define EACH_LANE(i, n) for (int64 i = threadIdx.x; i < (n); i += 32)

// Maximum and minimum that hand on a NaN, which fmaxf and fminf drop.
__device__ __forceinline__ float larger(float a, float b) { return a != a ? a : b != b ? b : fmaxf(a, b); }
__device__ __forceinline__ float smaller(float a, float b) { return a != a ? a : b != b ? b : fminf(a, b); }
__device__ __forceinline__ double larger(double a, double b) { return a != a ? a : b != b ? b : fmax(a, b); }
__device__ __forceinline__ double smaller(double a, double b) { return a != a ? a : b != b ? b : fmin(a, b); }

// Numbers are rounded to bfloat16 to nearest, ties to even; a NaN stays one.
typedef unsigned short bfloat16;
__device__ __forceinline__ float widened(bfloat16 v) { return __int_as_float((int)((unsigned)v << 16)); }
__device__ __forceinline__ bfloat16 to_bfloat16(float v) {
  unsigned bits = (unsigned)__float_as_int(v);
  bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return (bfloat16)(nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Arrays of either format. What is written for several formats is a template of them: pointers
// where the format is known, Mixed where it is the parameter that says it.
struct Mixed {
  void *data;
  bool half;
};
__device__ __forceinline__ float load(const float *x, int64 i) { return x[i]; }
__device__ __forceinline__ float load(const bfloat16 *x, int64 i) { return widened(x[i]); }
__device__ __forceinline__ float load(Mixed x, int64 i) { return x.half ? load((const bfloat16 *)x.data, i) : load((const float *)x.data, i); }
__device__ __forceinline__ void store(float *y, int64 i, float v) { y[i] = v; }
__device__ __forceinline__ void store(bfloat16 *y, int64 i, float v) { y[i] = to_bfloat16(v); }
__device__ __forceinline__ void store(Mixed y, int64 i, float v) { y.half ? store((bfloat16 *)y.data, i, v) : store((float *)y.data, i, v); }

// Array k of a kernel: MIXED as its bit of formats says.
#define MIXED(x, k) (Mixed{(void *)(x), (formats >> (k) & 1) != 0})

// Four neighbours, number q of such, in one access. The array begins at a multiple of 16 bytes.
template <class T> struct alignas(4 * sizeof(T)) Neighbours {
  T v[4];
};
template <class T> __device__ __forceinline__ void load_four(const T *x, int64 q, float *v) {
  Neighbours<T> four = ((const Neighbours<T> *)x)[q];
  ALL_UNROLLED for (int k = 0; k < 4; k++) v[k] = load(four.v, k);
}
template <class T> __device__ __forceinline__ void store_four(T *y, int64 q, const float *v) {
  Neighbours<T> four;
  ALL_UNROLLED for (int k = 0; k < 4; k++) store(four.v, k, v[k]);
  ((Neighbours<T> *)y)[q] = four;
}
__device__ __forceinline__ void load_four(Mixed x, int64 q, float *v) {
  x.half ? load_four((const bfloat16 *)x.data, q, v) : load_four((const float *)x.data, q, v);
}
__device__ __forceinline__ void store_four(Mixed y, int64 q, const float *v) {
  y.half ? store_four((bfloat16 *)y.data, q, v) : store_four((float *)y.data, q, v);
}
__device__ __forceinline__ bool by_fours(const void *x) { return (unsigned long long)x % 16 == 0; }
__device__ __forceinline__ bool by_fours(Mixed x) { return by_fours(x.data); }

// Elements are taken by fours, `step` apart, where they need not be neighbours: of two bytes each,
// one is too little for a thread to wait for. EACH_FOUR begins them, and FOUR are those that there are.
#define EACH_FOUR(i, first, step, n) NOT_UNROLLED for (int64 i = (first); i < (n); i += 4 * (step))
#define FOUR(k, i, step, n) ALL_UNROLLED for (int k = 0; k < 4; k++) if ((i) + k * (step) < (n))

// The butterfly gives all lanes the same bits: each step adds the same two numbers in both.
template <class T> __device__ __forceinline__ T warp_sum(T v) {
  for (int lane = 16; lane > 0; lane >>= 1) v += __shfl_xor_sync(0xffffffffu, v, lane);
  return v;
}
template <class T> __device__ __forceinline__ T warp_max(T v) {
  for (int lane = 16; lane > 0; lane >>= 1) v = larger(v, __shfl_xor_sync(0xffffffffu, v, lane));
  return v;
}

#include "elementwise.cuh"
#include "strided.cuh"
#include "reduce.cuh"
#include "normalize.cuh"
#include "softmax.cuh"
#include "window.cuh"
#include "loss.cuh"
#include "vector.cuh"
#include "image.cuh"
