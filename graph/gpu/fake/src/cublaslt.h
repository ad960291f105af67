// The part of cuBLASLt that graph/gpu/driver uses. As NVIDIA's may, it has no algorithm where memory
// is not aligned to 16 bytes, and wants it as aligned as it was told when it chose one.
#pragma once
#include "cublas.h"

namespace cublaslt {

using namespace cublas;

enum { TRANSA = 3, TRANSB = 4, EPILOGUE = 7, BIAS_POINTER = 8 };  // of an operation
enum { DEFAULT = 1, BIAS = 4 };                                   // epilogues
enum { WORKSPACE = 1, ALIGNMENT_A = 5, ALIGNMENT_D = 8 };         // of a preference

struct Operation {
  int compute;
  int32_t transposed[2];
  uint32_t epilogue;
  Address bias;
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t lead;
};
struct Preference {
  uint64_t workspace;
  uint32_t aligned[4];
};
// What was asked for, at the beginning of cuBLASLt's 64 bytes.
struct Algorithm {
  Preference wish;
  uint64_t rest[5];
};
struct Result {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Algorithm) == 64 && sizeof(Result) == 96, "as in cublasLt.h");

template <class T> static int set(T &attribute, const void *value, size_t size) {
  if (size != sizeof attribute) return INVALID;
  memcpy(&attribute, value, size);
  return OK;
}

}  // namespace cublaslt

extern "C" {
int cublasLtMatmulDescCreate(cublaslt::Operation **made, int compute, int scale) {
  if (scale != cublas::FLOAT32) return cublas::NOT_SUPPORTED;
  return *made = new cublaslt::Operation{compute, {0, 0}, cublaslt::DEFAULT, 0}, 0;
}
int cublasLtMatmulDescDestroy(cublaslt::Operation *o) { return delete o, 0; }
int cublasLtMatmulDescSetAttribute(cublaslt::Operation *o, int attribute, const void *value, size_t size) {
  switch (attribute) {
    case cublaslt::TRANSA: return cublaslt::set(o->transposed[0], value, size);
    case cublaslt::TRANSB: return cublaslt::set(o->transposed[1], value, size);
    case cublaslt::EPILOGUE: return cublaslt::set(o->epilogue, value, size);
    case cublaslt::BIAS_POINTER: return cublaslt::set(o->bias, value, size);
  }
  return cublas::INVALID;
}
int cublasLtMatrixLayoutCreate(cublaslt::Layout **made, int type, uint64_t rows, uint64_t columns, int64_t lead) {
  return *made = new cublaslt::Layout{type, rows, columns, lead}, 0;
}
int cublasLtMatrixLayoutDestroy(cublaslt::Layout *l) { return delete l, 0; }
int cublasLtMatmulPreferenceCreate(cublaslt::Preference **made) { return *made = new cublaslt::Preference{0, {256, 256, 256, 256}}, 0; }
int cublasLtMatmulPreferenceDestroy(cublaslt::Preference *p) { return delete p, 0; }
int cublasLtMatmulPreferenceSetAttribute(cublaslt::Preference *p, int attribute, const void *value, size_t size) {
  if (attribute == cublaslt::WORKSPACE) return cublaslt::set(p->workspace, value, size);
  if (attribute < cublaslt::ALIGNMENT_A || attribute > cublaslt::ALIGNMENT_D) return cublas::INVALID;
  return cublaslt::set(p->aligned[attribute - cublaslt::ALIGNMENT_A], value, size);
}
int cublasLtMatmulAlgoGetHeuristic(void *, cublaslt::Operation *, cublaslt::Layout *, cublaslt::Layout *, cublaslt::Layout *, cublaslt::Layout *,
                                   cublaslt::Preference *p, int most, cublaslt::Result *results, int *found) {
  *found = 0;
  if (most < 1) return cublas::INVALID;
  for (uint32_t aligned : p->aligned)
    if (aligned < 16) return cublas::NOT_SUPPORTED;
  results[0] = {{*p, {}}, p->workspace, cublas::OK, 1, {}};
  return *found = 1, 0;
}
int cublasLtMatmul(void *, cublaslt::Operation *o, const void *alpha, Address a, cublaslt::Layout *la, Address b, cublaslt::Layout *lb,
                   const void *beta, Address c, cublaslt::Layout *lc, Address d, cublaslt::Layout *ld, const cublaslt::Algorithm *algorithm,
                   Address workspace, size_t bytes, void *) {
  const Address at[] = {a, b, c, d};
  for (int i = 0; i < 4; i++)
    if (at[i] % algorithm->wish.aligned[i]) return cublas::INVALID;
  if (bytes < algorithm->wish.workspace || !memory::host(workspace, bytes)) return cublas::INVALID;
  if (lc->lead != ld->lead || (o->epilogue == cublaslt::BIAS) != (o->bias != 0)) return cublas::INVALID;
  bool ta = o->transposed[0], tb = o->transposed[1];
  uint64_t m = ld->rows, n = ld->columns, k = ta ? la->rows : la->columns;
  if ((ta ? la->columns : la->rows) != m || (tb ? lb->columns : lb->rows) != k || (tb ? lb->rows : lb->columns) != n) return cublas::INVALID;
  return cublas::gemm(m, n, k, (const float *)alpha, {a, la->type, (int)la->lead, ta, 0}, {b, lb->type, (int)lb->lead, tb, 0}, (const float *)beta,
                      {c, lc->type, (int)lc->lead, false, 0}, d, o->bias, o->compute, 1);
}
}
