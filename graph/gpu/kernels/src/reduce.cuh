// Reductions of x [outer, run, inner] along the middle, in float64 and in two stages: first
// stretches of the run, then the stretches' results in order.

__device__ __forceinline__ double fold_sum(double a, double v) { return a + v; }
__device__ __forceinline__ double fold_squares(double a, double v) { return a + v * v; }
__device__ __forceinline__ double fold_product(double a, double v) { return a * v; }
__device__ __forceinline__ double fold_max(double a, double v) { return larger(a, v); }
__device__ __forceinline__ double fold_min(double a, double v) { return smaller(a, v); }

// inner = 1: a warp takes one stretch, partial [outer, stretches].
// Else: a block of 32 x 8 threads takes a stretch of 32 columns, partial [outer, stretches, inner].
#define REDUCE(name, fold, combine, identity)                                                                         \
  COOPERATIVE_KERNEL(reduce_rows_##name, const void *px, double *partial, int64 outer, int64 run, int64 stretch, int formats) { \
    Mixed x = MIXED(px, 0);                                                                                                 \
    int64 stretches = (run + stretch - 1) / stretch;                                                                       \
    EACH_WARP_ROW(task, outer *stretches) {                                                                                \
      int64 o = task / stretches, first = (task - o * stretches) * stretch;                                                \
      int64 n = run - first < stretch ? run - first : stretch;                                                             \
      int64 xr = o * run + first;                                                                                           \
      double a = identity;                                                                                                 \
      EACH_LANE(i, n) a = fold(a, (double)load(x, xr + i));                                                                   \
      for (int lane = 16; lane > 0; lane >>= 1) a = combine(a, __shfl_xor_sync(0xffffffffu, a, lane));                     \
      if (threadIdx.x == 0) partial[task] = a;                                                                             \
    }                                                                                                                      \
  }                                                                                                                        \
  COOPERATIVE_KERNEL(reduce_columns_##name, const void *px, double *partial, int64 outer, int64 run, int64 inner,          \
                     int64 stretch, int formats) {                                                                         \
    Mixed x = MIXED(px, 0);                                                                                                \
    __shared__ double part[8][32];                                                                                         \
    int64 stretches = (run + stretch - 1) / stretch, i = (int64)blockIdx.x * 32 + threadIdx.x;                             \
    for (int64 task = blockIdx.y; task < outer * stretches; task += gridDim.y) {                                           \
      int64 o = task / stretches, first = (task - o * stretches) * stretch;                                                \
      int64 last = first + stretch < run ? first + stretch : run;                                                          \
      double a = identity;                                                                                                 \
      if (i < inner)                                                                                                       \
        for (int64 k = first + threadIdx.y; k < last; k += 8) a = fold(a, (double)load(x, (o * run + k) * inner + i));    \
      part[threadIdx.y][threadIdx.x] = a;                                                                                  \
      __syncthreads();                                                                                                     \
      if (threadIdx.y == 0 && i < inner) {                                                                                 \
        for (int k = 1; k < 8; k++) a = combine(a, part[k][threadIdx.x]);                                                  \
        partial[task * inner + i] = a;                                                                                     \
      }                                                                                                                    \
      __syncthreads();                                                                                                     \
    }                                                                                                                      \
  }                                                                                                                        \
  KERNEL(reduce_last_##name, const double *partial, void *py, int64 outer, int64 stretches, int64 inner, double scale,     \
         int formats) {                                                                                                    \
    EACH(i, outer *inner) {                                                                                                \
      int64 o = i / inner;                                                                                                 \
      const double *p = partial + o * stretches * inner + (i - o * inner);                                                 \
      double a = identity;                                                                                                 \
      UNROLLED for (int64 k = 0; k < stretches; k++) a = combine(a, p[k * inner]);                                         \
      store(MIXED(py, 0), i, (float)(a * scale));                                                                                  \
    }                                                                                                                      \
  }

REDUCE(sum, fold_sum, fold_sum, 0.0)
REDUCE(squares, fold_squares, fold_sum, 0.0)
REDUCE(product, fold_product, fold_product, 1.0)
REDUCE(max, fold_max, fold_max, -(double)INF)
REDUCE(min, fold_min, fold_min, (double)INF)
