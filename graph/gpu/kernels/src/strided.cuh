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

#define BROADCAST(name, result, expression)                                                                          \
  KERNEL(name, const float *a, const float *b, result *y, unsigned rows, unsigned inner, OUTER, STRIDES(a),          \
         STRIDES(b)) {                                                                                               \
    EACH_ROW(r, rows) {                                                                                              \
      const float *ar = a + AT(r, a), *br = b + AT(r, b);                                                            \
      result *yr = y + (int64)r * inner;                                                                             \
      EACH_COLUMN(i, inner) {                                                                                        \
        float u = ar[(int)i * ainner], v = br[(int)i * binner];                                                      \
        yr[i] = expression;                                                                                          \
      }                                                                                                              \
    }                                                                                                                \
  }

#define BINARY(name, expression) BROADCAST(binary_##name, float, expression)
#define COMPARE(name, expression) BROADCAST(compare_##name, byte, expression)

__device__ __forceinline__ float power(float u, float v) { return v == 2.0f ? u * u : v == 0.5f ? sqrtf(u) : powf(u, v); }
__device__ __forceinline__ float power_by_base(float u, float v) {
  return v == 0.0f ? 0.0f : v == 1.0f ? 1.0f : v == 2.0f ? 2.0f * u : v * powf(u, v - 1.0f);
}

BINARY(add, u + v)
BINARY(sub, u - v)
BINARY(mul, u *v)
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
KERNEL(copy_strided, const float *x, float *y, unsigned rows, unsigned inner, OUTER, STRIDES(x), STRIDES(y)) {
  EACH_ROW(r, rows) {
    const float *xr = x + AT(r, x);
    float *yr = y + AT(r, y);
    EACH_COLUMN(i, inner) yr[(int)i * yinner] = xr[(int)i * xinner];
  }
}

// The same where the source is contiguous along a loop that the target is not: each of the rows
// is a matrix [columns, inner], source step 1 along the columns, moved by tiles of 32 x 32 over
// shared memory so that both sides are read and written in runs. Blocks of 32 x 8 threads.
COOPERATIVE_KERNEL(copy_transposed, const float *x, float *y, unsigned rows, unsigned columns, unsigned inner, int ycolumn, OUTER,
                   STRIDES(x), STRIDES(y)) {
  __shared__ float tile[32][33];
  unsigned across = (columns + 31) / 32, c0 = blockIdx.x % across * 32, i0 = blockIdx.x / across * 32;
  for (unsigned r = blockIdx.y; r < rows; r += gridDim.y) {
    const float *xr = x + AT(r, x);
    float *yr = y + AT(r, y);
    for (unsigned k = threadIdx.y; k < 32; k += 8) {
      unsigned c = c0 + threadIdx.x, i = i0 + k;
      if (c < columns && i < inner) tile[k][threadIdx.x] = xr[(int)c + (int)i * xinner];
    }
    __syncthreads();
    for (unsigned k = threadIdx.y; k < 32; k += 8) {
      unsigned c = c0 + k, i = i0 + threadIdx.x;
      if (c < columns && i < inner) yr[(int)c * ycolumn + (int)i * yinner] = tile[threadIdx.x][k];
    }
    __syncthreads();
  }
}

// y [outer, count, inner] = the slices of x [outer, size, inner] that index names; negative
// numbers count from the end, those out of range give NaN.
KERNEL(gather, const float *x, const int64 *index, float *y, unsigned rows, unsigned count, unsigned size, unsigned inner) {
  EACH_ROW(r, rows) {
    int64 k = index[r % count];
    if (k < 0) k += size;
    bool there = k >= 0 && k < size;
    const float *xr = x + ((int64)(r / count) * size + k) * inner;
    EACH_COLUMN(i, inner) y[(int64)r * inner + i] = there ? xr[i] : NOT_A_NUMBER;
  }
}

// dx [outer, size, inner]: for each slice the sum, in order, of the slices of dy that were
// taken from it.
KERNEL(gather_grad, const float *dy, const int64 *index, float *dx, unsigned rows, unsigned count, unsigned size, unsigned inner) {
  EACH_ROW(r, rows) {
    int64 slice = r % size;
    const float *dyr = dy + (int64)(r / size) * count * inner;
    EACH_COLUMN(i, inner) {
      float sum = 0;
      for (unsigned j = 0; j < count; j++) {
        int64 k = index[j];
        if ((k < 0 ? k + size : k) == slice) sum += dyr[(int64)j * inner + i];
      }
      dx[(int64)r * inner + i] = sum;
    }
  }
}
