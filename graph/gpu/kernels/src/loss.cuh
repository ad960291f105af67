// Losses of each example from logits z [examples, classes], labels and the inverse temperature
// beta (one element), and their derivatives, in float64; a warp takes an example. A label outside
// the classes gives NaN.

enum { CROSS_ENTROPY, LABEL_SMOOTHING, FOCAL, MARGIN, SOFT_ZERO_ONE };

// The logarithm of the sum of exp(beta*z).
__device__ __forceinline__ double log_sum_exp(const float *z, double beta, int classes) {
  double top = -(double)INF, sum = 0;
  NOT_UNROLLED EACH_LANE(j, classes) top = larger(top, beta * (double)z[j]);
  top = warp_max(top);
  NOT_UNROLLED EACH_LANE(j, classes) sum += exp(beta * (double)z[j] - top);
  return top + log(warp_sum(sum));
}

// 1 - p[label], summed from the other classes' probabilities so that a small one keeps its digits.
__device__ __forceinline__ double others(const float *z, double beta, double norm, int classes, int label) {
  double q = 0;
  NOT_UNROLLED EACH_LANE(j, classes) if (j != label) q += exp(beta * (double)z[j] - norm);
  return smaller(warp_sum(q), 1.0);
}

// parameter is epsilon of label smoothing, gamma of focal, w of the soft 0-1 loss.
COOPERATIVE_KERNEL(loss, const float *z, const int64 *labels, const float *beta, float *losses, int64 examples, int classes, int kind,
                   double parameter) {
  EACH_WARP_ROW(r, examples) {
    const float *zr = z + r * classes;
    double b = (double)*beta, value;
    int64 given = labels[r];
    int label = given >= 0 && given < classes ? (int)given : 0;
    double own = b * (double)zr[label];
    if (kind == MARGIN) {
      double sum = 0;
      NOT_UNROLLED EACH_LANE(j, classes) if (j != label) sum += larger(0.0, 1.0 - own + b * (double)zr[j]);
      value = warp_sum(sum) / classes;
    } else {
      double norm = log_sum_exp(zr, b, classes);
      value = norm - own;
      if (kind == LABEL_SMOOTHING) {
        double sum = 0;
        NOT_UNROLLED EACH_LANE(j, classes) sum += norm - b * (double)zr[j];
        value = (1.0 - parameter) * value + parameter * (warp_sum(sum) / classes);
      } else if (kind == FOCAL) {
        value *= pow(others(zr, b, norm, classes, label), parameter);
      } else if (kind == SOFT_ZERO_ONE) {
        value = (1.0 - parameter) * value + parameter * others(zr, b, norm, classes, label);
      }
    }
    if (threadIdx.x == 0) losses[r] = given == label ? (float)value : NOT_A_NUMBER;
  }
}

// dz = dlosses*beta*derivative by the scaled logits.
COOPERATIVE_KERNEL(loss_grad, const float *z, const int64 *labels, const float *beta, const float *dlosses, float *dz,
                   int64 examples, int classes, int kind, double parameter) {
  EACH_WARP_ROW(r, examples) {
    const float *zr = z + r * classes;
    double b = (double)*beta, scale = (double)dlosses[r] * b;
    int64 given = labels[r];
    int label = given >= 0 && given < classes ? (int)given : 0;
    if (given != label) scale = (double)NOT_A_NUMBER;
    double own = b * (double)zr[label];
    if (kind == MARGIN) {
      int within = 0;
      NOT_UNROLLED EACH_LANE(j, classes) within += j != label && 1.0 - own + b * (double)zr[j] > 0;
      double share = 1.0 / classes;
      within = warp_sum(within);
      NOT_UNROLLED EACH_LANE(j, classes) {
        double v = j == label ? -(double)within * share : 1.0 - own + b * (double)zr[j] > 0 ? share : 0.0;
        dz[r * classes + j] = (float)(scale * v);
      }
      continue;
    }
    double norm = log_sum_exp(zr, b, classes), factor = 1, hot = 1, share = 0;
    if (kind == LABEL_SMOOTHING) {
      hot = 1.0 - parameter;
      share = parameter / classes;
    } else if (kind == FOCAL) {
      double q = others(zr, b, norm, classes, label), p = exp(own - norm), ratio = 1;
      if (q >= 0.5)
        ratio = (norm - own) / q;
      else if (q > 0)
        ratio = -log1p(-q) / q;  // a difference of two large numbers would be all rounding here
      factor = pow(q, parameter) * (1.0 + parameter * p * ratio);
    } else if (kind == SOFT_ZERO_ONE) {
      factor = 1.0 - parameter + parameter * exp(own - norm);
    }
    NOT_UNROLLED EACH_LANE(j, classes) {
      double v = exp(b * (double)zr[j] - norm) - share;
      if (j == label) v -= hot;
      dz[r * classes + j] = (float)(scale * (v * factor));
    }
  }
}
