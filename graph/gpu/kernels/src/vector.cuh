// Arithmetic on vectors of weights: each element in float64, rounded once.

// y = base + (c0*s0 + c1*s1) + (c2*s2 + c3*s3); a null vector counts as zeros.
KERNEL(combine, float *y, const float *base, const float *s0, const float *s1, const float *s2, const float *s3, double c0, double c1,
       double c2, double c3, int64 n) {
  EACH(i, n) {
    double a = s0 ? c0 * (double)s0[i] : 0.0, b = s1 ? c1 * (double)s1[i] : 0.0;
    double c = s2 ? c2 * (double)s2[i] : 0.0, d = s3 ? c3 * (double)s3[i] : 0.0;
    y[i] = (float)((base ? (double)base[i] : 0.0) + (a + b) + (c + d));
  }
}

// y += a*x.
KERNEL(axpy, float *y, const float *x, double a, int64 n) { EACH(i, n) y[i] = (float)((double)y[i] + a * (double)x[i]); }

// x *= a.
KERNEL(scale, float *x, double a, int64 n) { EACH(i, n) x[i] = (float)(a * (double)x[i]); }

// Stochastic gradient descent with Nesterov momentum and coupled weight decay:
// q = scale*sum + decay*w; b = momentum*b + q; w -= rate*(q + momentum*b).
KERNEL(sgd, float *w, float *buffer, const float *sum, double scale, double rate, double momentum, double decay, int64 n) {
  EACH(i, n) {
    double x = (double)w[i], q = scale * (double)sum[i] + decay * x, m = momentum * (double)buffer[i] + q;
    buffer[i] = (float)m;
    w[i] = (float)(x - rate * (q + momentum * m));
  }
}

// The sum of a value of each thread of a block of 256, the same in every thread.
__device__ __forceinline__ double block_sum(double v) {
  __shared__ double part[8];
  v = warp_sum(v);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
  for (int i = 0; i < 8; i++) v += part[i];
  return v;
}

// Sums of x*y, or of x where y is null, by block; then of the blocks.
COOPERATIVE_KERNEL(dot_blocks, const float *x, const float *y, double *partial, int64 n) {
  double sum = 0;
  EACH(i, n) sum += y ? (double)x[i] * (double)y[i] : (double)x[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
COOPERATIVE_KERNEL(dot_last, const double *partial, double *result, int64 n) {
  double sum = 0;
  EACH(i, n) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *result = sum;
}
