// The device's kernels. Plain CUDA C for compute capability 7.5 and up: no tensor core
// intrinsics, asynchronous copies, cooperative groups or atomics, at most 48 KiB of shared
// memory, so that the fake device can run the same text on a CPU (see graph/gpu/fake).
//
// All arrays are row-major, elements float unless said otherwise. A sum's order depends on
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

// What a kernel reads and writes is float or bfloat16: rounded to nearest, ties to even; a NaN
// stays one.
typedef unsigned short bfloat16;
__device__ __forceinline__ float load(const float *from) { return *from; }
__device__ __forceinline__ float load(const bfloat16 *from) { return __int_as_float((int)((unsigned)*from << 16)); }
__device__ __forceinline__ void store(float *to, float v) { *to = v; }
__device__ __forceinline__ void store(bfloat16 *to, float v) {
  unsigned bits = (unsigned)__float_as_int(v);
  bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  *to = (bfloat16)(nan ? (bits >> 16) | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

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
