// The elements of a row that a lane of its warp keeps in registers, where the row is no longer than
// all lanes can: of the scores of attention, which lie in the cache, each is then read once.
const int held = 8;
#define EACH_HELD(k, i) ALL_UNROLLED for (int k = 0, i = threadIdx.x; k < held; k++, i += 32)

// The largest of all lanes, but for NaN.
__device__ __forceinline__ float warp_top(float v) {
  for (int lane = 16; lane > 0; lane >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, lane));
  return v;
}

// Softmax and its logarithm along the rows of x [rows, d], stride elements apart; a warp takes a
// row. What lies between the rows of y becomes 0. Where all elements are -inf the result is NaN, and
// where one is NaN: the largest need not be, since the sum is. y may be x.
template <class X, class Y> __device__ __forceinline__ void softmax_rows(X x, Y y, int64 rows, int64 d, int64 stride, bool logarithm) {
  EACH_WARP_ROW(r, rows) {
    int64 at = r * stride;
    float top = -INF, sum = 0;
    if (d <= 32 * held) {
      float v[held];
      EACH_HELD(k, i) {
        v[k] = i < d ? load(x, at + i) : -INF;
        top = fmaxf(top, v[k]);
      }
      top = warp_top(top);
      EACH_HELD(k, i) {
        float power = expf(v[k] - top);
        if (i < d) sum += power;
        v[k] = logarithm ? v[k] - top : power;
      }
      sum = warp_sum(sum);
      float norm = logarithm ? logf(sum) : 0.0f, share = 1.0f / sum;
      EACH_HELD(k, i) if (i < d) store(y, at + i, logarithm ? v[k] - norm : v[k] * share);
    } else {
      EACH_LANE(i, d) top = fmaxf(top, load(x, at + i));
      top = warp_top(top);
      EACH_LANE(i, d) sum += expf(load(x, at + i) - top);
      sum = warp_sum(sum);
      float norm = logarithm ? logf(sum) : 0.0f, share = 1.0f / sum;
      EACH_LANE(i, d) {
        float v = load(x, at + i) - top;
        store(y, at + i, logarithm ? v - norm : expf(v) * share);
      }
    }
    EACH_LANE(i, stride - d) store(y, at + d + i, 0.0f);
  }
}
COOPERATIVE_KERNEL(softmax, const void *x, void *y, int64 rows, int64 d, int64 stride, int logarithm, int formats) {
  switch (formats) {
    case 0: softmax_rows((const float *)x, (float *)y, rows, d, stride, logarithm); break;
    case 2: softmax_rows((const float *)x, (bfloat16 *)y, rows, d, stride, logarithm); break;
    default: softmax_rows(MIXED(x, 0), MIXED(y, 1), rows, d, stride, logarithm);
  }
}

// From the result y: dx = y*(dy - <y, dy>), or, of the logarithm, dy - exp(y)*sum(dy), and 0
// between the rows. dx may be dy.
__device__ __forceinline__ float softmax_dot(float y, float dy, int logarithm) { return logarithm ? dy : y * dy; }
__device__ __forceinline__ float softmax_dx(float y, float dy, float sum, int logarithm) {
  return logarithm ? dy - expf(y) * sum : y * (dy - sum);
}
template <class Y, class DY, class DX>
__device__ __forceinline__ void softmax_rows_grad(Y y, DY dy, DX dx, int64 rows, int64 d, int64 stride, bool logarithm) {
  EACH_WARP_ROW(r, rows) {
    int64 at = r * stride;
    float sum = 0;
    if (d <= 32 * held) {
      float v[held], g[held];
      EACH_HELD(k, i) {
        v[k] = i < d ? load(y, at + i) : 0.0f;
        g[k] = i < d ? load(dy, at + i) : 0.0f;
        if (i < d) sum += softmax_dot(v[k], g[k], logarithm);
      }
      sum = warp_sum(sum);
      EACH_HELD(k, i) if (i < d) store(dx, at + i, softmax_dx(v[k], g[k], sum, logarithm));
    } else {
      EACH_LANE(i, d) sum += softmax_dot(load(y, at + i), load(dy, at + i), logarithm);
      sum = warp_sum(sum);
      EACH_LANE(i, d) store(dx, at + i, softmax_dx(load(y, at + i), load(dy, at + i), sum, logarithm));
    }
    EACH_LANE(i, stride - d) store(dx, at + d + i, 0.0f);
  }
}
COOPERATIVE_KERNEL(softmax_grad, const void *y, const void *dy, void *dx, int64 rows, int64 d, int64 stride, int logarithm, int formats) {
  switch (formats) {
    case 0: softmax_rows_grad((const float *)y, (const float *)dy, (float *)dx, rows, d, stride, logarithm); break;
    case 5: softmax_rows_grad((const bfloat16 *)y, (const float *)dy, (bfloat16 *)dx, rows, d, stride, logarithm); break;
    default: softmax_rows_grad(MIXED(y, 0), MIXED(dy, 1), MIXED(dx, 2), rows, d, stride, logarithm);
  }
}

// The same along the middle of [outer, d, inner]: a thread takes a row.
KERNEL(softmax_columns, const void *px, void *py, int64 outer, int64 d, int64 inner, int logarithm, int formats) {
  Mixed x = MIXED(px, 0), y = MIXED(py, 1);
  EACH(i, outer *inner) {
    int64 at = i / inner * d * inner + i % inner;
    float top = -INF, sum = 0;
    for (int64 k = 0; k < d; k++) top = larger(top, load(x, at + k * inner));
    for (int64 k = 0; k < d; k++) sum += expf(load(x, at + k * inner) - top);
    float norm = logf(sum), share = 1.0f / sum;
    for (int64 k = 0; k < d; k++) {
      float v = load(x, at + k * inner) - top;
      store(y, at + k * inner, logarithm ? v - norm : expf(v) * share);
    }
  }
}
KERNEL(softmax_columns_grad, const void *py, const void *pdy, void *pdx, int64 outer, int64 d, int64 inner, int logarithm, int formats) {
  Mixed y = MIXED(py, 0), dy = MIXED(pdy, 1), dx = MIXED(pdx, 2);
  EACH(i, outer *inner) {
    int64 at = i / inner * d * inner + i % inner;
    float sum = 0;
    for (int64 k = 0; k < d; k++) sum += softmax_dot(load(y, at + k * inner), load(dy, at + k * inner), logarithm);
    for (int64 k = 0; k < d; k++) {
      store(dx, at + k * inner, softmax_dx(load(y, at + k * inner), load(dy, at + k * inner), sum, logarithm));
    }
  }
}
