// Functions of one element, with up to two parameters, and their derivatives.

#define UNARY_TO(name, type, expression)                                                   \
  KERNEL(unary_##name, const float *x, type *y, int64 n, float a, float b) {               \
    EACH(i, n) {                                                                           \
      float v = x[i];                                                                      \
      store(&y[i], expression);                                                            \
    }                                                                                      \
  }
#define UNARY(name, expression) UNARY_TO(name, float, expression)

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
UNARY(relu, v <= 0 ? 0.0f : v)
UNARY(leaky_relu, v < 0 ? v * a : v)
UNARY(elu, v < 0 ? a * expm1f(v) : v)
UNARY(sigmoid, sigmoid(v))
UNARY(tanh, tanhf(v))
UNARY(softplus, larger(v, 0.0f) + log1pf(expf(-fabsf(v))))
UNARY(hard_sigmoid, larger(0.0f, smaller(1.0f, a * v + b)))
UNARY(gelu, gelu(v))
UNARY(gelu_tanh, gelu_tanh(v))
UNARY(quick_gelu, v * sigmoid(a * v))
UNARY_TO(gelu_bfloat16, bfloat16, gelu(v))
UNARY_TO(gelu_tanh_bfloat16, bfloat16, gelu_tanh(v))
UNARY_TO(quick_gelu_bfloat16, bfloat16, v * sigmoid(a * v))
UNARY(clip, smaller(b, larger(a, v)))
UNARY(affine, a *v + b)

// v is the function's input or, where the derivative is simpler in it, its result; d is the
// cotangent of the result.
#define GRAD_TO(name, type, expression)                                                                 \
  KERNEL(grad_##name, const float *value, const float *dy, type *dx, int64 n, float a, float b) {      \
    EACH(i, n) {                                                                                        \
      float v = value[i], d = dy[i];                                                                    \
      store(&dx[i], expression);                                                                        \
    }                                                                                                   \
  }
#define GRAD(name, expression) GRAD_TO(name, float, expression)

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
GRAD(relu, v <= 0 ? 0.0f : d)                           // of the result
GRAD(sigmoid, d *v *(1.0f - v))                         // of the result
GRAD(tanh, d *(1.0f - v * v))                           // of the result
GRAD(hard_sigmoid, v <= 0 || v >= 1 ? 0.0f : a *d)     // of the result
GRAD(erf, d * 1.1283791670955126f * expf(-v * v))
GRAD(leaky_relu, v <= 0 ? d * a : d)
GRAD(elu, v < 0 ? d * (a * expf(v)) : d)
GRAD(gelu, d *gelu_grad(v))
GRAD(gelu_tanh, d *gelu_tanh_grad(v))
GRAD(quick_gelu, d *quick_gelu_grad(a, v))
GRAD_TO(gelu_bfloat16, bfloat16, d *gelu_grad(v))
GRAD_TO(gelu_tanh_bfloat16, bfloat16, d *gelu_tanh_grad(v))
GRAD_TO(quick_gelu_bfloat16, bfloat16, d *quick_gelu_grad(a, v))
GRAD(clip, v < a || v > b ? 0.0f : d)

// y [rows, columns] = x + bias [columns] + residual [rows, columns]; y may be x or residual.
KERNEL(bias_residual, const float *x, const float *bias, const float *residual, float *y, unsigned rows, unsigned columns) {
  EACH_ROW(r, rows) EACH_COLUMN(i, columns) {
    int64 at = (int64)r * columns + i;
    y[at] = (x[at] + bias[i]) + residual[at];
  }
}

KERNEL(fill, float *y, float value, int64 n) { EACH(i, n) y[i] = value; }

KERNEL(cast_bfloat16, const float *x, bfloat16 *y, int64 n) { EACH(i, n) store(&y[i], x[i]); }

// Truth values are bytes, 0 or 1.
KERNEL(is_nan, const float *x, byte *y, int64 n) { EACH(i, n) y[i] = x[i] != x[i]; }
KERNEL(cast_bool, const byte *x, float *y, int64 n) { EACH(i, n) y[i] = x[i] ? 1.0f : 0.0f; }
