// Kernels over nests of loops, rows x inner, with the rows a nest of up to five loops: what
// broadcasts, and what moves elements. Offsets fit 32 bits (the launcher sees to it).

// OUTER are the sizes of the rows' loops 1 to 4, loop 0 being the outermost, which needs none.
#define OUTER unsigned n1, unsigned n2, unsigned n3, unsigned n4
// STRIDES are an operand's steps along loops 0 to 4 and along the inner one.
#define STRIDES(x) int x##0, int x##1, int x##2, int x##3, int x##4, int x##inner
#define AT(r, x) row_offset(r, n1, n2, n3, n4, x##0, x##1, x##2, x##3, x##4)

// Loops that are not there are the outer ones, of which the row number is soon used up.
__device__ __forceinline__ int row_offset(unsigned r, OUTER, int s0, int s1, int s2, int s3, int s4) {
  unsigned q = r / n4;
  int at = (int)(r - q * n4) * s4;
  if (q == 0) return at;
  r = q, q = r / n3, at += (int)(r - q * n3) * s3;
  if (q == 0) return at;
  r = q, q = r / n2, at += (int)(r - q * n2) * s2;
  if (q == 0) return at;
  r = q, q = r / n1, at += (int)(r - q * n1) * s1;
  return at + (int)q * s0;
}

#define BINARY(name, expression)                                                                                     \
  KERNEL(binary_##name, const void *pa, const void *pb, void *py, unsigned rows, unsigned inner, OUTER, STRIDES(a),  \
         STRIDES(b), int formats) {                                                                                  \
    Mixed a = MIXED(pa, 0), b = MIXED(pb, 1), y = MIXED(py, 2);                                                      \
    EACH_ROW(r, rows) {                                                                                              \
      int ar = AT(r, a), br = AT(r, b);                                                                              \
      EACH_COLUMN(i, inner) {                                                                                        \
        float u = load(a, ar + (int)i * ainner), v = load(b, br + (int)i * binner);                                  \
        store(y, (int64)r * inner + i, expression);                                                                  \
      }                                                                                                              \
    }                                                                                                                \
  }

// The operators of large arrays, by fours.
#define BINARY_BY_FOURS(name, expression)                                                                            \
  KERNEL(binary_##name, const void *pa, const void *pb, void *py, unsigned rows, unsigned inner, OUTER, STRIDES(a),  \
         STRIDES(b), int formats) {                                                                                  \
    Mixed a = MIXED(pa, 0), b = MIXED(pb, 1), y = MIXED(py, 2);                                                      \
    int64 step = (int64)gridDim.x * blockDim.x;                                                                      \
    EACH_ROW(r, rows) {                                                                                              \
      int ar = AT(r, a), br = AT(r, b);                                                                              \
      EACH_FOUR(i, (int64)blockIdx.x * blockDim.x + threadIdx.x, step, inner) {                                      \
        float s[4], t[4];                                                                                            \
        FOUR(k, i, step, inner) {                                                                                    \
          int at = (int)(i + k * step);                                                                              \
          s[k] = load(a, ar + at * ainner), t[k] = load(b, br + at * binner);                                        \
        }                                                                                                            \
        FOUR(k, i, step, inner) {                                                                                    \
          float u = s[k], v = t[k];                                                                                  \
          store(y, (int64)r * inner + i + k * step, expression);                                                     \
        }                                                                                                            \
      }                                                                                                              \
    }                                                                                                                \
  }

#define COMPARE(name, expression)                                                                                    \
  KERNEL(compare_##name, const float *a, const float *b, byte *y, unsigned rows, unsigned inner, OUTER, STRIDES(a),  \
         STRIDES(b)) {                                                                                               \
    EACH_ROW(r, rows) {                                                                                              \
      const float *ar = a + AT(r, a), *br = b + AT(r, b);                                                            \
      EACH_COLUMN(i, inner) {                                                                                        \
        float u = ar[(int)i * ainner], v = br[(int)i * binner];                                                      \
        y[(int64)r * inner + i] = expression;                                                                        \
      }                                                                                                              \
    }                                                                                                                \
  }

__device__ __forceinline__ float power(float u, float v) { return v == 2.0f ? u * u : v == 0.5f ? sqrtf(u) : powf(u, v); }
__device__ __forceinline__ float power_by_base(float u, float v) {
  return v == 0.0f ? 0.0f : v == 1.0f ? 1.0f : v == 2.0f ? 2.0f * u : v * powf(u, v - 1.0f);
}

BINARY_BY_FOURS(add, u + v)
BINARY(sub, u - v)
BINARY_BY_FOURS(mul, u *v)
BINARY(div, u / v)
BINARY(pow, power(u, v))
BINARY(pow_by_base, power_by_base(u, v))
BINARY(pow_by_exponent, u == 0.0f ? 0.0f : powf(u, v) * logf(u))
BINARY(max, larger(u, v))
BINARY(min, smaller(u, v))

COMPARE(equal, u == v)
COMPARE(less, u < v)
COMPARE(less_or_equal, u <= v)

// y = c ? a : b; a null operand counts as zeros.
KERNEL(choose, const byte *c, const float *a, const float *b, float *y, unsigned rows, unsigned inner, OUTER, STRIDES(c), STRIDES(a),
       STRIDES(b)) {
  EACH_ROW(r, rows) {
    const byte *cr = c + AT(r, c);
    const float *ar = a + AT(r, a), *br = b + AT(r, b);
    EACH_COLUMN(i, inner) {
      bool first = cr[(int)i * cinner];
      const float *chosen = first ? a : b;
      y[(int64)r * inner + i] = chosen ? (first ? ar[(int)i * ainner] : br[(int)i * binner]) : 0.0f;
    }
  }
}

// Copies a nest of loops from one placement to another.
KERNEL(copy_strided, const void *px, void *py, unsigned rows, unsigned inner, OUTER, STRIDES(x), STRIDES(y), int formats) {
  Mixed x = MIXED(px, 0), y = MIXED(py, 1);
  int64 step = (int64)gridDim.x * blockDim.x;
  EACH_ROW(r, rows) {
    int xr = AT(r, x), yr = AT(r, y);
    EACH_FOUR(i, (int64)blockIdx.x * blockDim.x + threadIdx.x, step, inner) {
      float v[4];
      FOUR(k, i, step, inner) v[k] = load(x, xr + (int)(i + k * step) * xinner);
      FOUR(k, i, step, inner) store(y, yr + (int)(i + k * step) * yinner, v[k]);
    }
  }
}

// The same where the source is contiguous along a loop that the target is not: each of the rows
// is a matrix [columns, inner], source step 1 along the columns, moved by tiles of 32 x 32 over
// shared memory so that both sides are read and written in runs. Blocks of 32 x 8 threads.
COOPERATIVE_KERNEL(copy_transposed, const void *px, void *py, unsigned rows, unsigned columns, unsigned inner, int ycolumn, OUTER,
                   STRIDES(x), STRIDES(y), int formats) {
  Mixed x = MIXED(px, 0), y = MIXED(py, 1);
  __shared__ float tile[32][33];
  unsigned across = (columns + 31) / 32, c0 = blockIdx.x % across * 32, i0 = blockIdx.x / across * 32;
  for (unsigned r = blockIdx.y; r < rows; r += gridDim.y) {
    int xr = AT(r, x), yr = AT(r, y);
    for (unsigned k = threadIdx.y; k < 32; k += 8) {
      unsigned c = c0 + threadIdx.x, i = i0 + k;
      if (c < columns && i < inner) tile[k][threadIdx.x] = load(x, xr + (int)c + (int)i * xinner);
    }
    __syncthreads();
    for (unsigned k = threadIdx.y; k < 32; k += 8) {
      unsigned c = c0 + k, i = i0 + threadIdx.x;
      if (c < columns && i < inner) store(y, yr + (int)c * ycolumn + (int)i * yinner, tile[threadIdx.x][k]);
    }
    __syncthreads();
  }
}

// y [outer, count, inner] = the slices of x [outer, size, inner] that index names; negative
// numbers count from the end, those out of range give NaN.
KERNEL(gather, const void *px, const int64 *index, void *py, unsigned rows, unsigned count, unsigned size, unsigned inner, int formats) {
  Mixed x = MIXED(px, 0), y = MIXED(py, 1);
  EACH_ROW(r, rows) {
    int64 k = index[r % count];
    if (k < 0) k += size;
    bool there = k >= 0 && k < size;
    int64 xr = ((int64)(r / count) * size + k) * inner;
    EACH_COLUMN(i, inner) store(y, (int64)r * inner + i, there ? load(x, xr + i) : NOT_A_NUMBER);
  }
}

// dx [outer, size, inner]: for each slice the sum, in order, of the slices of dy that were
// taken from it.
KERNEL(gather_grad, const void *pdy, const int64 *index, void *pdx, unsigned rows, unsigned count, unsigned size, unsigned inner,
       int formats) {
  Mixed dy = MIXED(pdy, 0), dx = MIXED(pdx, 1);
  EACH_ROW(r, rows) {
    int64 slice = r % size;
    int64 dyr = (int64)(r / size) * count * inner;
    EACH_COLUMN(i, inner) {
      float sum = 0;
      for (unsigned j = 0; j < count; j++) {
        int64 k = index[j];
        if ((k < 0 ? k + size : k) == slice) sum += load(dy, dyr + (int64)j * inner + i);
      }
      store(dx, (int64)r * inner + i, sum);
    }
  }
}
