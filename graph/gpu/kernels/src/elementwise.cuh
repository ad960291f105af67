// Functions of one element, with up to two parameters, and their derivatives.

#define UNARY(name, expression)                                                                       \
  KERNEL(unary_##name, const void *px, void *py, int64 n, float a, float b, int formats) {            \
    Mixed x = MIXED(px, 0), y = MIXED(py, 1);                                                         \
    EACH(i, n) {                                                                                      \
      float v = load(x, i);                                                                           \
      store(y, i, expression);                                                                        \
    }                                                                                                 \
  }

// The functions of large arrays, by fours.
template <class F> __device__ __forceinline__ void map_fours(Mixed x, Mixed y, int64 n, F f) {
  int64 fours = by_fours(x) && by_fours(y) ? n / 4 : 0;
  EACH(q, fours) {
    float v[4];
    load_four(x, q, v);
    ALL_UNROLLED for (int k = 0; k < 4; k++) v[k] = f(v[k]);
    store_four(y, q, v);
  }
  EACH(i, n - 4 * fours) store(y, 4 * fours + i, f(load(x, 4 * fours + i)));
}
#define UNARY_BY_FOURS(name, expression)                                                              \
  KERNEL(unary_##name, const void *px, void *py, int64 n, float a, float b, int formats) {            \
    map_fours(MIXED(px, 0), MIXED(py, 1), n, [=](float v) { return expression; });                    \
  }

__device__ __forceinline__ float sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }
__device__ __forceinline__ float gauss(float v) { return 0.5f * (1.0f + erff(v * 0.70710678118654752f)); }
__device__ __forceinline__ float gelu(float v) { return v * gauss(v); }
__device__ __forceinline__ float gelu_inner(float v) { return 0.79788456080286536f * (v + 0.044715f * v * v * v); }
__device__ __forceinline__ float gelu_tanh(float v) { return 0.5f * v * (1.0f + tanhf(gelu_inner(v))); }

UNARY(neg, -v)
UNARY(abs, fabsf(v))
UNARY(sign, v > 0 ? 1.0f : v < 0 ? -1.0f : v)
UNARY(round, rintf(v))
UNARY(floor, floorf(v))
UNARY(ceil, ceilf(v))
UNARY(sqrt, sqrtf(v))
UNARY(reciprocal, 1.0f / v)
UNARY(exp, expf(v))
UNARY(log, logf(v))
UNARY(erf, erff(v))
UNARY_BY_FOURS(relu, v <= 0 ? 0.0f : v)
UNARY(leaky_relu, v < 0 ? v * a : v)
UNARY(elu, v < 0 ? a * expm1f(v) : v)
UNARY(sigmoid, sigmoid(v))
UNARY(tanh, tanhf(v))
UNARY(softplus, larger(v, 0.0f) + log1pf(expf(-fabsf(v))))
UNARY(hard_sigmoid, larger(0.0f, smaller(1.0f, a * v + b)))
UNARY_BY_FOURS(gelu, gelu(v))
UNARY_BY_FOURS(gelu_tanh, gelu_tanh(v))
UNARY_BY_FOURS(quick_gelu, v * sigmoid(a * v))
UNARY(clip, smaller(b, larger(a, v)))
UNARY(affine, a *v + b)

// v is the function's input or, where the derivative is simpler in it, its result; d is the
// cotangent of the result.
#define GRAD(name, expression)                                                                        \
  KERNEL(grad_##name, const void *pv, const void *pdy, void *pdx, int64 n, float a, float b, int formats) { \
    Mixed value = MIXED(pv, 0), dy = MIXED(pdy, 1), dx = MIXED(pdx, 2);                               \
    EACH(i, n) {                                                                                      \
      float v = load(value, i), d = load(dy, i);                                                      \
      store(dx, i, expression);                                                                       \
    }                                                                                                 \
  }
#define GRAD_BY_FOURS(name, expression)                                                               \
  KERNEL(grad_##name, const void *pv, const void *pdy, void *pdx, int64 n, float a, float b, int formats) { \
    map_fours2(MIXED(pv, 0), MIXED(pdy, 1), MIXED(pdx, 2), n, [=](float v, float d) { return expression; }); \
  }
template <class F> __device__ __forceinline__ void map_fours2(Mixed u, Mixed v, Mixed y, int64 n, F f) {
  int64 fours = by_fours(u) && by_fours(v) && by_fours(y) ? n / 4 : 0;
  EACH(q, fours) {
    float a[4], b[4];
    load_four(u, q, a);
    load_four(v, q, b);
    ALL_UNROLLED for (int k = 0; k < 4; k++) a[k] = f(a[k], b[k]);
    store_four(y, q, a);
  }
  EACH(i, n - 4 * fours) store(y, 4 * fours + i, f(load(u, 4 * fours + i), load(v, 4 * fours + i)));
}

__device__ __forceinline__ float gelu_grad(float v) { return gauss(v) + v * (0.39894228040143268f * expf(-0.5f * v * v)); }
__device__ __forceinline__ float gelu_tanh_grad(float v) {
  float t = tanhf(gelu_inner(v));
  return 0.5f * (1.0f + t) + 0.5f * v * (1.0f - t * t) * (0.79788456080286536f * (1.0f + 3.0f * 0.044715f * v * v));
}
__device__ __forceinline__ float quick_gelu_grad(float a, float v) {
  float s = sigmoid(a * v);
  return s * (1.0f + a * v * (1.0f - s));
}

GRAD(sqrt, d / (2.0f * v))                              // of the result
GRAD(reciprocal, -d *v *v)                              // of the result
GRAD_BY_FOURS(relu, v <= 0 ? 0.0f : d)                           // of the result
GRAD(sigmoid, d *v *(1.0f - v))                         // of the result
GRAD(tanh, d *(1.0f - v * v))                           // of the result
GRAD(hard_sigmoid, v <= 0 || v >= 1 ? 0.0f : a *d)     // of the result
GRAD(erf, d * 1.1283791670955126f * expf(-v * v))
GRAD(leaky_relu, v <= 0 ? d * a : d)
GRAD(elu, v < 0 ? d * (a * expf(v)) : d)
GRAD_BY_FOURS(gelu, d *gelu_grad(v))
GRAD_BY_FOURS(gelu_tanh, d *gelu_tanh_grad(v))
GRAD_BY_FOURS(quick_gelu, d *quick_gelu_grad(a, v))
GRAD(clip, v < a || v > b ? 0.0f : d)

// y [rows, columns] = x + bias [columns] + residual [rows, columns]; y may be x or residual.
KERNEL(bias_residual, const void *px, const float *bias, const void *presidual, void *py, unsigned rows, unsigned columns, int formats) {
  Mixed x = MIXED(px, 0), residual = MIXED(presidual, 1), y = MIXED(py, 2);
  int64 step = (int64)gridDim.x * blockDim.x;
  EACH_ROW(r, rows) EACH_FOUR(i, (int64)blockIdx.x * blockDim.x + threadIdx.x, step, columns) {
    float v[4];
    int64 at = (int64)r * columns;
    FOUR(k, i, step, columns) v[k] = (load(x, at + i + k * step) + bias[i + k * step]) + load(residual, at + i + k * step);
    FOUR(k, i, step, columns) store(y, at + i + k * step, v[k]);
  }
}

KERNEL(fill, void *py, float value, int64 n, int formats) { EACH(i, n) store(MIXED(py, 0), i, value); }

// y = x, and y2 = x2: the two factors of a product, or what else needs another format at once.
KERNEL(convert, const void *px, void *py, int64 n, const void *px2, void *py2, int64 n2, int formats) {
  map_fours(MIXED(px, 0), MIXED(py, 1), n, [](float v) { return v; });
  map_fours(MIXED(px2, 2), MIXED(py2, 3), n2, [](float v) { return v; });
}

// Truth values are bytes, 0 or 1.
KERNEL(is_nan, const float *x, byte *y, int64 n) { EACH(i, n) y[i] = x[i] != x[i]; }
KERNEL(cast_bool, const byte *x, float *y, int64 n) { EACH(i, n) y[i] = x[i] ? 1.0f : 0.0f; }
