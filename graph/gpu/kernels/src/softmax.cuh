// The elements of a row that a lane of its warp keeps in registers, where the row is no longer than
// all lanes can: of the scores of attention, which lie in the cache, each is then read once.
const int held = 8;
#define EACH_HELD(k, i) ALL_UNROLLED for (int k = 0, i = threadIdx.x; k < held; k++, i += 32)

// Softmax and its logarithm along the rows of x [rows, d], stride elements apart; a warp takes a
// row. What lies between the rows of y becomes 0. Where all elements are -inf the result is NaN. y
// may be x.
COOPERATIVE_KERNEL(softmax, const float *x, float *y, int64 rows, int64 d, int64 stride, int logarithm) {
  EACH_WARP_ROW(r, rows) {
    const float *xr = x + r * stride;
    float *yr = y + r * stride;
    float top = -INF, sum = 0;
    if (d <= 32 * held) {
      float v[held];
      EACH_HELD(k, i) {
        v[k] = i < d ? xr[i] : -INF;
        top = larger(top, v[k]);
      }
      top = warp_max(top);
      EACH_HELD(k, i) {
        float power = expf(v[k] - top);
        if (i < d) sum += power;
        v[k] = logarithm ? v[k] - top : power;
      }
      sum = warp_sum(sum);
      float norm = logarithm ? logf(sum) : 0.0f, share = 1.0f / sum;
      EACH_HELD(k, i) if (i < d) yr[i] = logarithm ? v[k] - norm : v[k] * share;
    } else {
      EACH_LANE(i, d) top = larger(top, xr[i]);
      top = warp_max(top);
      EACH_LANE(i, d) sum += expf(xr[i] - top);
      sum = warp_sum(sum);
      float norm = logarithm ? logf(sum) : 0.0f, share = 1.0f / sum;
      EACH_LANE(i, d) yr[i] = logarithm ? (xr[i] - top) - norm : expf(xr[i] - top) * share;
    }
    EACH_LANE(i, stride - d) yr[d + i] = 0;
  }
}

// From the result y: dx = y*(dy - <y, dy>), or, of the logarithm, dy - exp(y)*sum(dy), and 0
// between the rows. dx may be dy.
__device__ __forceinline__ float softmax_dot(float y, float dy, int logarithm) { return logarithm ? dy : y * dy; }
__device__ __forceinline__ float softmax_dx(float y, float dy, float sum, int logarithm) {
  return logarithm ? dy - expf(y) * sum : y * (dy - sum);
}
COOPERATIVE_KERNEL(softmax_grad, const float *y, const float *dy, float *dx, int64 rows, int64 d, int64 stride, int logarithm) {
  EACH_WARP_ROW(r, rows) {
    const float *yr = y + r * stride, *dyr = dy + r * stride;
    float *dxr = dx + r * stride;
    float sum = 0;
    if (d <= 32 * held) {
      float v[held], g[held];
      EACH_HELD(k, i) {
        v[k] = i < d ? yr[i] : 0.0f;
        g[k] = i < d ? dyr[i] : 0.0f;
        if (i < d) sum += softmax_dot(v[k], g[k], logarithm);
      }
      sum = warp_sum(sum);
      EACH_HELD(k, i) if (i < d) dxr[i] = softmax_dx(v[k], g[k], sum, logarithm);
    } else {
      EACH_LANE(i, d) sum += softmax_dot(yr[i], dyr[i], logarithm);
      sum = warp_sum(sum);
      EACH_LANE(i, d) dxr[i] = softmax_dx(yr[i], dyr[i], sum, logarithm);
    }
    EACH_LANE(i, stride - d) dxr[d + i] = 0;
  }
}

// The same along the middle of [outer, d, inner]: a thread takes a row.
KERNEL(softmax_columns, const float *x, float *y, int64 outer, int64 d, int64 inner, int logarithm) {
  EACH(i, outer *inner) {
    int64 at = i / inner * d * inner + i % inner;
    const float *xr = x + at;
    float *yr = y + at;
    float top = -INF, sum = 0;
    for (int64 k = 0; k < d; k++) top = larger(top, xr[k * inner]);
    for (int64 k = 0; k < d; k++) sum += expf(xr[k * inner] - top);
    float norm = logf(sum), share = 1.0f / sum;
    for (int64 k = 0; k < d; k++) {
      float v = xr[k * inner] - top;
      yr[k * inner] = logarithm ? v - norm : expf(v) * share;
    }
  }
}
KERNEL(softmax_columns_grad, const float *y, const float *dy, float *dx, int64 outer, int64 d, int64 inner, int logarithm) {
  EACH(i, outer *inner) {
    int64 at = i / inner * d * inner + i % inner;
    const float *yr = y + at, *dyr = dy + at;
    float *dxr = dx + at;
    float sum = 0;
    for (int64 k = 0; k < d; k++) sum += logarithm ? dyr[k * inner] : yr[k * inner] * dyr[k * inner];
    for (int64 k = 0; k < d; k++) {
      float v = yr[k * inner], g = dyr[k * inner];
      dxr[k * inner] = logarithm ? g - expf(v) * sum : v * (g - sum);
    }
  }
}
