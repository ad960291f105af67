// Matrix products as cuBLAS has them, column-major, sums in float32 from the first to the last.
#pragma once

namespace cublas {

enum { OK = 0, NOT_INITIALIZED = 1, INVALID = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum { FLOAT32 = 0, BFLOAT16 = 14, COMPUTE_32F = 68, COMPUTE_32F_FAST_TF32 = 77 };

struct Operand {
  Address data;
  int type, lead;
  bool transposed;
  int64_t step;  // between the matrices of a batch
};

// TF32 keeps 10 bits of the fraction.
static float to_tf32(float v) { return __int_as_float((__float_as_int(v) + 0x1000) & ~0x1fff); }

// The elements of a matrix [rows, columns], contiguous along the rows.
static bool unpack(const Operand &o, int batch, int rows, int columns, bool tf32, std::vector<float> &to) {
  size_t size = o.type == FLOAT32 ? 4 : 2;
  int lines = o.transposed ? rows : columns, length = o.transposed ? columns : rows;
  if (o.lead < (length > 1 ? length : 1)) return false;
  to.resize((size_t)rows * columns);
  if (to.empty()) return true;
  char *p = memory::host(o.data + (uint64_t)(o.step * batch) * size, ((size_t)(lines - 1) * o.lead + length) * size);
  if (!p) return false;
  for (int line = 0; line < lines; line++)
    for (int i = 0; i < length; i++) {
      size_t at = (size_t)line * o.lead + i;
      float v = size == 4 ? ((float *)p)[at] : __int_as_float((int)((uint32_t)((uint16_t *)p)[at] << 16));
      to[o.transposed ? (size_t)i * rows + line : (size_t)line * rows + i] = tf32 ? to_tf32(v) : v;
    }
  return true;
}

// Columns of the result at a time, over stretches of rows that stay in the cache. T is what c, d and the bias are of.
template <class T>
static void multiply(int m, int n, int k, float alpha, const float *a, const float *b, float beta, const T *c, T *d, int lead, const T *bias) {
  const int rows = 128;
  for (int i0 = 0; i0 < m; i0 += rows) {
    int height = m - i0 < rows ? m - i0 : rows;
    for (int j = 0; j < n; j += 4) {
      float sum[4][rows] = {};
      int width = n - j < 4 ? n - j : 4;
      for (int p = 0; p < k; p++) {
        const float *x = a + (size_t)p * m + i0;
        for (int q = 0; q < width; q++) {
          float v = b[(size_t)(j + q) * k + p];
          for (int i = 0; i < height; i++) sum[q][i] += v * x[i];
        }
      }
      for (int q = 0; q < width; q++)
        for (int i = 0; i < height; i++) {
          size_t at = (size_t)(j + q) * lead + i0 + i;
          float v = alpha * sum[q][i] + (beta == 0 ? 0 : beta * load(c, at));
          store(d, at, bias ? v + load(bias, i0 + i) : v);
        }
    }
  }
}

// D = alpha*A*B + beta*C + bias, which has an element for each row and may be 0; C and D are laid out alike, and all three
// of one type.
static int gemm(int m, int n, int k, const float *alpha, Operand a, Operand b, const float *beta, Operand c, Address d, Address bias, int compute,
                int batches) {
  LOCK;
  if (called()) return EXECUTION_FAILED;
  if (m < 0 || n < 0 || k < 0 || batches < 0 || c.lead < (m > 1 ? m : 1)) return INVALID;
  if ((c.type != FLOAT32 && (c.type != BFLOAT16 || a.type != BFLOAT16)) || a.type != b.type || (a.type != FLOAT32 && a.type != BFLOAT16)) return NOT_SUPPORTED;
  if (compute != COMPUTE_32F && compute != COMPUTE_32F_FAST_TF32) return NOT_SUPPORTED;
  if (++faults.launches == faults.launch) return EXECUTION_FAILED;
  if (m == 0 || n == 0) return OK;
  static std::vector<float> x, y;
  bool tf32 = compute == COMPUTE_32F_FAST_TF32 && a.type == FLOAT32;
  size_t width = c.type == FLOAT32 ? 4 : 2;
  char *row = bias ? memory::host(bias, (size_t)m * width) : nullptr;
  for (int i = 0; i < batches; i++) {
    size_t size = ((size_t)(n - 1) * c.lead + m) * width, offset = (uint64_t)(c.step * i) * width;
    char *from = memory::host(c.data + offset, size), *to = memory::host(d + offset, size);
    if (!from || !to || (bias && !row) || !unpack(a, i, m, k, tf32, x) || !unpack(b, i, k, n, tf32, y)) {
      fprintf(stderr, "fake cuBLAS: a matrix of the product %d x %d x %d is no device memory\n", m, n, k);
      sticky = ILLEGAL_ADDRESS;
      return EXECUTION_FAILED;
    }
    if (c.type == FLOAT32)
      multiply(m, n, k, *alpha, x.data(), y.data(), *beta, (const float *)from, (float *)to, c.lead, (const float *)row);
    else
      multiply(m, n, k, *alpha, x.data(), y.data(), *beta, (const bfloat16 *)from, (bfloat16 *)to, c.lead, (const bfloat16 *)row);
  }
  return OK;
}

}  // namespace cublas

extern "C" {
int cublasCreate_v2(void **handle) { return *handle = malloc(1), 0; }
int cublasDestroy_v2(void *handle) { return free(handle), 0; }
int cublasSetStream_v2(void *, void *) { return 0; }
int cublasSetWorkspace_v2(void *, void *, size_t) { return 0; }
int cublasSetMathMode(void *, int) { return 0; }
int cublasGetVersion_v2(void *, int *version) { return *version = 130000, 0; }
int cublasGetProperty(int property, int *value) { return *value = property == 0 ? 13 : 0, 0; }
const char *cublasGetStatusName(int status) {
  switch (status) {
    case cublas::OK: return "CUBLAS_STATUS_SUCCESS";
    case cublas::INVALID: return "CUBLAS_STATUS_INVALID_VALUE";
    case cublas::EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case cublas::NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "CUBLAS_STATUS_INTERNAL_ERROR";
}
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

int cublasGemmEx(void *, int ta, int tb, int m, int n, int k, const void *alpha, Address a, int atype, int lda, Address b, int btype, int ldb,
                 const void *beta, Address c, int ctype, int ldc, int compute, int) {
  return cublas::gemm(m, n, k, (const float *)alpha, {a, atype, lda, ta != 0, 0}, {b, btype, ldb, tb != 0, 0}, (const float *)beta,
                      {c, ctype, ldc, false, 0}, c, 0, compute, 1);
}
int cublasGemmStridedBatchedEx(void *, int ta, int tb, int m, int n, int k, const void *alpha, Address a, int atype, int lda, long long sa,
                               Address b, int btype, int ldb, long long sb, const void *beta, Address c, int ctype, int ldc, long long sc,
                               int batches, int compute, int) {
  return cublas::gemm(m, n, k, (const float *)alpha, {a, atype, lda, ta != 0, sa}, {b, btype, ldb, tb != 0, sb}, (const float *)beta,
                      {c, ctype, ldc, false, sc}, c, 0, compute, batches);
}
}
