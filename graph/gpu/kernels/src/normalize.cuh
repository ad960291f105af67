// Layer and root mean square normalisation of the rows of x [rows, d], and batch normalisation.

// What a row is normalised by: h = ((x - mean) - correction)*rs. float32 cannot hold the mean
// of a row that varies little about a large one; the mean and the mean of the deviations from
// it can. Without centred, mean and correction are 0.
struct Moments {
  float mean, correction, rs;
};
__device__ __forceinline__ float normalized(Moments m, float x) { return ((x - m.mean) - m.correction) * m.rs; }

// From a row's mean, and from the sums of its deviations and of their squares over all lanes' elements.
__device__ __forceinline__ Moments moments_of(float mean, float sum, float squares, int64 d, float epsilon, bool centred) {
  Moments m = {mean, 0, 0};
  squares = warp_sum(squares);
  if (centred) {
    sum = warp_sum(sum);
    m.correction = sum / (float)d;
    squares -= m.correction * sum;
  }
  m.rs = 1.0f / sqrtf(larger(squares, 0.0f) / (float)d + epsilon);
  return m;
}

// Of the row of x that begins at an element.
template <class X> __device__ __forceinline__ Moments row_moments(X x, int64 at, int64 d, float epsilon, bool centred) {
  float mean = 0, sum = 0, squares = 0;
  if (centred) {
    EACH_LANE(i, d) sum += load(x, at + i);
    mean = warp_sum(sum) / (float)d;
  }
  sum = 0;
  EACH_LANE(i, d) {
    float v = load(x, at + i) - mean;
    sum += v;
    squares += v * v;
  }
  return moments_of(mean, sum, squares, d, epsilon, centred);
}

// Rows of so many fours of each lane are held in registers, so that each is read once, by fours.
const int held_fours = 8;
#define EACH_HELD_FOUR(k, q, fours) ALL_UNROLLED for (int k = 0, q = threadIdx.x; k < held_fours; k++, q += 32) if (q < (fours))

template <class X, class Y>
__device__ __forceinline__ void normalize_held(X x, const float *scale, const float *bias, Y y, int64 rows, int d, float epsilon,
                                               bool centred) {
  int fours = d / 4;
  EACH_WARP_ROW(r, rows) {
    int64 first = r * fours;
    float v[held_fours][4], mean = 0, sum = 0, squares = 0;
    EACH_HELD_FOUR(k, q, fours) {
      load_four(x, first + q, v[k]);
      ALL_UNROLLED for (int j = 0; j < 4; j++) sum += v[k][j];
    }
    if (centred) mean = warp_sum(sum) / (float)d;
    sum = 0;
    EACH_HELD_FOUR(k, q, fours) {
      ALL_UNROLLED for (int j = 0; j < 4; j++) {
        float u = v[k][j] - mean;
        sum += u;
        squares += u * u;
      }
    }
    Moments m = moments_of(mean, sum, squares, d, epsilon, centred);
    EACH_HELD_FOUR(k, q, fours) {
      float s[4], b[4] = {0, 0, 0, 0};
      load_four(scale, q, s);
      if (bias) load_four(bias, q, b);
      ALL_UNROLLED for (int j = 0; j < 4; j++) {
        float h = normalized(m, v[k][j]) * s[j];
        v[k][j] = bias ? h + b[j] : h;
      }
      store_four(y, first + q, v[k]);
    }
  }
}

// y = h*scale + bias; scale and bias [d], bias may be null. y may be x.
template <class X, class Y>
__device__ __forceinline__ void normalize_rows(X x, const float *scale, const float *bias, Y y, int64 rows, int64 d, float epsilon,
                                               bool centred) {
  EACH_WARP_ROW(r, rows) {
    Moments m = row_moments(x, r * d, d, epsilon, centred);
    EACH_LANE(i, d) {
      float h = normalized(m, load(x, r * d + i)) * scale[i];
      store(y, r * d + i, bias ? h + bias[i] : h);
    }
  }
}
template <class X, class Y>
__device__ __forceinline__ void normalize_typed(bool hold, X x, const float *scale, const float *bias, Y y, int64 rows, int64 d,
                                                float epsilon, bool centred) {
  if (hold)
    normalize_held(x, scale, bias, y, rows, (int)d, epsilon, centred);
  else
    normalize_rows(x, scale, bias, y, rows, d, epsilon, centred);
}
COOPERATIVE_KERNEL(normalize, const void *x, const float *scale, const float *bias, void *y, int64 rows, int64 d, float epsilon, int centred,
                   int formats) {
  bool hold = d % 4 == 0 && d <= 4 * 32 * held_fours && by_fours(x) && by_fours(scale) && by_fours(bias) && by_fours(y);
  switch (formats) {
    case 0: normalize_typed(hold, (const float *)x, scale, bias, (float *)y, rows, d, epsilon, centred); break;
    case 2: normalize_typed(hold, (const float *)x, scale, bias, (bfloat16 *)y, rows, d, epsilon, centred); break;
    case 3: normalize_typed(hold, (const bfloat16 *)x, scale, bias, (bfloat16 *)y, rows, d, epsilon, centred); break;
    default: normalize_rows(MIXED(x, 0), scale, bias, MIXED(y, 1), rows, d, epsilon, centred);
  }
}

// With g = dy*scale: dx = rs*(g - mean(g) - h*mean(g*h)), without mean(g) unless centred. dx may
// be dy or x.
template <class X, class DY, class DX>
__device__ __forceinline__ void normalize_rows_grad(X x, const float *scale, DY dy, DX dx, int64 rows, int64 d, float epsilon, bool centred) {
  EACH_WARP_ROW(r, rows) {
    Moments m = row_moments(x, r * d, d, epsilon, centred);
    float g = 0, gh = 0;
    EACH_LANE(i, d) {
      float v = load(dy, r * d + i) * scale[i];
      g += v;
      gh += v * normalized(m, load(x, r * d + i));
    }
    g = centred ? warp_sum(g) / (float)d : 0.0f;
    gh = warp_sum(gh) / (float)d;
    EACH_LANE(i, d) store(dx, r * d + i, m.rs * (load(dy, r * d + i) * scale[i] - g - normalized(m, load(x, r * d + i)) * gh));
  }
}
COOPERATIVE_KERNEL(normalize_grad, const void *x, const float *scale, const void *dy, void *dx, int64 rows, int64 d, float epsilon,
                   int centred, int formats) {
  switch (formats) {
    case 0: normalize_rows_grad((const float *)x, scale, (const float *)dy, (float *)dx, rows, d, epsilon, centred); break;
    case 7: normalize_rows_grad((const bfloat16 *)x, scale, (const bfloat16 *)dy, (bfloat16 *)dx, rows, d, epsilon, centred); break;
    default: normalize_rows_grad(MIXED(x, 0), scale, MIXED(dy, 1), MIXED(dx, 2), rows, d, epsilon, centred);
  }
}

// The rows' moments: mean, correction and rs, 4 floats a row.
COOPERATIVE_KERNEL(normalize_moments, const void *x, float *moments, int64 rows, int64 d, float epsilon, int centred, int formats) {
  EACH_WARP_ROW(r, rows) {
    Moments m = row_moments(MIXED(x, 0), r * d, d, epsilon, centred);
    if (threadIdx.x == 0) {
      moments[4 * r] = m.mean;
      moments[4 * r + 1] = m.correction;
      moments[4 * r + 2] = m.rs;
    }
  }
}

// Stretches of the sums over the rows of dy*h: partial [stretches, d] for reduce_last_sum.
COOPERATIVE_KERNEL(normalize_scale_grad, const void *px, const float *moments, const void *pdy, double *partial, int64 rows, int64 d,
                   int64 stretch, int formats) {
  Mixed x = MIXED(px, 0), dy = MIXED(pdy, 1);
  __shared__ double part[8][32];
  int64 i = (int64)blockIdx.x * 32 + threadIdx.x, stretches = (rows + stretch - 1) / stretch;
  for (int64 task = blockIdx.y; task < stretches; task += gridDim.y) {
    int64 first = task * stretch, last = first + stretch < rows ? first + stretch : rows;
    double a = 0;
    if (i < d)
      for (int64 r = first + threadIdx.y; r < last; r += 8) {
        Moments m = {moments[4 * r], moments[4 * r + 1], moments[4 * r + 2]};
        a += (double)load(dy, r * d + i) * (double)normalized(m, load(x, r * d + i));
      }
    part[threadIdx.y][threadIdx.x] = a;
    __syncthreads();
    if (threadIdx.y == 0 && i < d) {
      for (int k = 1; k < 8; k++) a += part[k][threadIdx.x];
      partial[task * d + i] = a;
    }
    __syncthreads();
  }
}

// factor = scale/sqrt(variance + epsilon), shift = bias - factor*mean, in float64; bias and mean
// may be null together, then shift is not written.
KERNEL(batch_norm_factors, const float *scale, const float *bias, const float *mean, const float *variance, float *factor,
       float *shift, int64 channels, double epsilon) {
  EACH(c, channels) {
    double f = (double)scale[c] / sqrt((double)variance[c] + epsilon);
    factor[c] = (float)f;
    if (bias) shift[c] = (float)((double)bias[c] - f * (double)mean[c]);
  }
}

// y = x*factor + shift for planes [images*channels, area] and [channels]; shift may be null.
KERNEL(affine_channels, const void *px, const float *factor, const float *shift, void *py, unsigned planes, unsigned channels,
       unsigned area, int formats) {
  Mixed x = MIXED(px, 0), y = MIXED(py, 1);
  EACH_ROW(p, planes) {
    float f = factor[p % channels], s = shift ? shift[p % channels] : 0.0f;
    EACH_COLUMN(i, area) store(y, (int64)p * area + i, load(x, (int64)p * area + i) * f + s);
  }
}

// Of each plane the sums of dy and of dy*(x - mean): sums [2, images, channels].
COOPERATIVE_KERNEL(batch_norm_sums, const void *px, const float *mean, const void *pdy, double *sums, int64 planes, int64 channels,
                   int64 area, int formats) {
  Mixed x = MIXED(px, 0), dy = MIXED(pdy, 1);
  EACH_WARP_ROW(p, planes) {
    double sum = 0, moment = 0, m = (double)mean[p % channels];
    EACH_LANE(i, area) {
      double v = (double)load(dy, p * area + i);
      sum += v;
      moment += v * ((double)load(x, p * area + i) - m);
    }
    sum = warp_sum(sum);
    moment = warp_sum(moment);
    if (threadIdx.x == 0) {
      sums[p] = sum;
      sums[planes + p] = moment;
    }
  }
}

// The cotangents of scale, bias, mean and variance from the planes' sums; any may be null.
KERNEL(batch_norm_grads, const double *sums, const float *scale, const float *variance, float *dscale, float *dbias, float *dmean,
       float *dvariance, int64 images, int64 channels, double epsilon) {
  EACH(c, channels) {
    double sum = 0, moment = 0, r = 1.0 / sqrt((double)variance[c] + epsilon);
    for (int64 n = 0; n < images; n++) {
      sum += sums[n * channels + c];
      moment += sums[(images + n) * channels + c];
    }
    if (dscale) dscale[c] = (float)(moment * r);
    if (dbias) dbias[c] = (float)sum;
    if (dmean) dmean[c] = (float)(-sum * r * (double)scale[c]);
    if (dvariance) dvariance[c] = (float)(-moment * r * r * r * (double)scale[c] / 2.0);
  }
}
