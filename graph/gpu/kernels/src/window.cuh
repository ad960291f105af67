// Kernels that slide over up to three spatial dimensions: tap t of output position o reads input
// position o*stride - before + t*dilation, where that lies within the input.

struct Window {
  int in[3], out[3], taps[3], stride[3], dilation[3], before[3], after[3];
};

#define THREE(x) int x##0, int x##1, int x##2
#define WINDOW THREE(in), THREE(out), THREE(taps), THREE(stride), THREE(dilation), THREE(before), THREE(after)
#define WINDOW_OF_PARAMETERS                                                                                   \
  {{in0, in1, in2},       {out0, out1, out2},          {taps0, taps1, taps2},                                  \
   {stride0, stride1, stride2}, {dilation0, dilation1, dilation2}, {before0, before1, before2}, {after0, after1, after2}}

struct Place {
  int z, y, x;
};
__device__ __forceinline__ Place place_of(int i, const int *size) {
  int q = i / size[2];
  return Place{q / size[1], q % size[1], i % size[2]};
}
__device__ __forceinline__ int volume(const int *size) { return size[0] * size[1] * size[2]; }

// The input position that a tap reads, or -1 outside.
__device__ __forceinline__ int reads(const Window &w, int dim, int at, int tap) {
  int i = at * w.stride[dim] - w.before[dim] + tap * w.dilation[dim];
  return i < w.in[dim] ? i : -1;  // negative is outside already
}
// The output position at which a tap reads an input position, or -1.
__device__ __forceinline__ int read_by(const Window &w, int dim, int in, int tap) {
  int i = in + w.before[dim] - tap * w.dilation[dim];
  if (i < 0 || i % w.stride[dim] != 0) return -1;
  i /= w.stride[dim];
  return i < w.out[dim] ? i : -1;
}

// TAPS runs over the taps that read the element `in` of an output position `o` (both Place), tap
// by tap; `at` is the element's number in its plane.
#define TAPS(w, o, tap, at)                                                                      \
  for (int tap = 0, kz = 0; kz < w.taps[0]; kz++)                                                \
    for (int ky = 0, iz = reads(w, 0, o.z, kz); ky < w.taps[1]; ky++)                            \
      for (int kx = 0, iy = reads(w, 1, o.y, ky), ix, at; kx < w.taps[2]; kx++, tap++)           \
        if (iz >= 0 && iy >= 0 && (ix = reads(w, 2, o.x, kx)) >= 0 && (at = (iz * w.in[1] + iy) * w.in[2] + ix, true))

// READERS runs over the output positions `at` that read an input position `i`, with the tap.
#define READERS(w, i, tap, at)                                                                   \
  for (int tap = 0, kz = 0; kz < w.taps[0]; kz++)                                                \
    for (int ky = 0, oz = read_by(w, 0, i.z, kz); ky < w.taps[1]; ky++)                          \
      for (int kx = 0, oy = read_by(w, 1, i.y, ky), ox, at; kx < w.taps[2]; kx++, tap++)         \
        if (oz >= 0 && oy >= 0 && (ox = read_by(w, 2, i.x, kx)) >= 0 && (at = (oz * w.out[1] + oy) * w.out[2] + ox, true))

// The columns of a convolution: row (channel, tap) has for each output position what it reads,
// 0 outside. Element (image, row, position) goes to image*by_image + row*by_row + position. x are
// `channels` planes of each image, images image_step elements apart.
KERNEL(im2col, const float *x, float *columns, int images, int channels, int64 image_step, int64 by_image, int64 by_row, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int taps = volume(w.taps), area = volume(w.out), plane = volume(w.in);
  EACH_ROW(r, (unsigned)images * channels * taps) {
    int row = r % (channels * taps), image = r / (channels * taps);
    Place k = place_of(row % taps, w.taps);
    const float *xr = x + image * image_step + (int64)(row / taps) * plane;
    float *to = columns + image * by_image + row * by_row;
    EACH_COLUMN(i, area) {
      Place o = place_of(i, w.out);
      int iz = reads(w, 0, o.z, k.z), iy = reads(w, 1, o.y, k.y), ix = reads(w, 2, o.x, k.x);
      to[i] = iz >= 0 && iy >= 0 && ix >= 0 ? xr[(iz * w.in[1] + iy) * w.in[2] + ix] : 0.0f;
    }
  }
}

// The transpose of im2col: each input element is the sum of the columns' elements that read it,
// tap by tap.
KERNEL(col2im, const float *columns, float *x, int images, int channels, int64 image_step, int64 by_image, int64 by_row, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int taps = volume(w.taps), plane = volume(w.in);
  EACH_ROW(r, (unsigned)images * channels) {
    int channel = r % channels, image = r / channels;
    const float *from = columns + image * by_image + (int64)channel * taps * by_row;
    EACH_COLUMN(i, plane) {
      Place p = place_of(i, w.in);
      float sum = 0;
      READERS(w, p, tap, at) sum += from[tap * by_row + at];
      x[image * image_step + (int64)channel * plane + i] = sum;
    }
  }
}

// Each channel with its own `each` filters, planes [images*channels*each]; bias may be null.
KERNEL(depthwise, const float *x, const float *filters, const float *bias, float *y, unsigned planes, int channels, int each, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int taps = volume(w.taps), area = volume(w.out);
  EACH_ROW(r, planes) {
    int filter = r % (channels * each);
    const float *xr = x + (int64)(r / each) * volume(w.in), *f = filters + filter * taps;
    EACH_COLUMN(i, area) {
      Place o = place_of(i, w.out);
      float sum = bias ? bias[filter] : 0.0f;
      TAPS(w, o, tap, at) sum += f[tap] * xr[at];
      y[(int64)r * area + i] = sum;
    }
  }
}

// The cotangent of its input, planes [images*channels].
KERNEL(depthwise_input_grad, const float *filters, const float *dy, float *dx, unsigned planes, int channels, int each, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int taps = volume(w.taps), area = volume(w.out), plane = volume(w.in);
  EACH_ROW(r, planes) {
    int channel = r % channels;
    EACH_COLUMN(i, plane) {
      Place p = place_of(i, w.in);
      float sum = 0;
      for (int m = 0; m < each; m++) {
        const float *f = filters + (channel * each + m) * taps, *dyr = dy + ((int64)r * each + m) * area;
        READERS(w, p, tap, at) sum += f[tap] * dyr[at];
      }
      dx[(int64)r * plane + i] = sum;
    }
  }
}

// The cotangent of its filters, a warp for each filter's tap.
COOPERATIVE_KERNEL(depthwise_filter_grad, const float *x, const float *dy, float *df, int images, int channels, int each, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int taps = volume(w.taps), area = volume(w.out), plane = volume(w.in), filters = channels * each;
  EACH_WARP_ROW(r, (int64)filters * taps) {
    int filter = r / taps;
    Place k = place_of(r % taps, w.taps);
    double sum = 0;
    EACH_LANE(j, (int64)images * area) {
      int image = j / area, i = j % area;
      Place o = place_of(i, w.out);
      int iz = reads(w, 0, o.z, k.z), iy = reads(w, 1, o.y, k.y), ix = reads(w, 2, o.x, k.x);
      if (iz >= 0 && iy >= 0 && ix >= 0)
        sum += (double)dy[((int64)image * filters + filter) * area + i] *
               (double)x[((int64)image * channels + filter / each) * plane + (iz * w.in[1] + iy) * w.in[2] + ix];
    }
    sum = warp_sum(sum);
    if (threadIdx.x == 0) df[r] = (float)sum;
  }
}

KERNEL(max_pool, const float *x, float *y, unsigned planes, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int area = volume(w.out);
  EACH_ROW(r, planes) {
    const float *xr = x + (int64)r * volume(w.in);
    EACH_COLUMN(i, area) {
      Place o = place_of(i, w.out);
      float top = -INF;
      TAPS(w, o, tap, at) top = larger(top, xr[at]);
      y[(int64)r * area + i] = top;
    }
  }
}

// Each window's cotangent goes to its first largest element: an element takes it from the windows
// where it is the largest and no earlier tap's is.
KERNEL(max_pool_grad, const float *x, const float *y, const float *dy, float *dx, unsigned planes, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int area = volume(w.out), plane = volume(w.in);
  EACH_ROW(r, planes) {
    const float *xr = x + (int64)r * plane, *yr = y + (int64)r * area, *dyr = dy + (int64)r * area;
    EACH_COLUMN(i, plane) {
      Place p = place_of(i, w.in);
      float v = xr[i], sum = 0;
      READERS(w, p, mine, out) {
        if (v != yr[out]) continue;
        Place o = place_of(out, w.out);
        bool first = true;
        TAPS(w, o, tap, at) first = first && (tap >= mine || xr[at] != v);
        if (first) sum += dyr[out];
      }
      dx[(int64)r * plane + i] = sum;
    }
  }
}

// The number of taps that an average counts along a dimension: those within the input, or, with
// pads, also those on the padding, but none beyond.
__device__ __forceinline__ int counted(const Window &w, int dim, int at, bool pads) {
  int n = 0;
  for (int tap = 0; tap < w.taps[dim]; tap++) {
    int i = at * w.stride[dim] - w.before[dim] + tap * w.dilation[dim];
    n += (pads && i < w.in[dim] + w.after[dim]) || (i >= 0 && i < w.in[dim]);
  }
  return n;
}
__device__ __forceinline__ float average_weight(const Window &w, Place o, bool pads) {
  return 1.0f / (float)(counted(w, 0, o.z, pads) * counted(w, 1, o.y, pads) * counted(w, 2, o.x, pads));
}

KERNEL(average_pool, const float *x, float *y, unsigned planes, int pads, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int area = volume(w.out);
  EACH_ROW(r, planes) {
    const float *xr = x + (int64)r * volume(w.in);
    EACH_COLUMN(i, area) {
      Place o = place_of(i, w.out);
      float sum = 0;
      TAPS(w, o, tap, at) sum += xr[at];
      y[(int64)r * area + i] = sum * average_weight(w, o, pads);
    }
  }
}

KERNEL(average_pool_grad, const float *dy, float *dx, unsigned planes, int pads, WINDOW) {
  Window w = WINDOW_OF_PARAMETERS;
  int area = volume(w.out), plane = volume(w.in);
  EACH_ROW(r, planes) {
    const float *dyr = dy + (int64)r * area;
    EACH_COLUMN(i, plane) {
      Place p = place_of(i, w.in);
      float sum = 0;
      READERS(w, p, tap, out) sum += dyr[out] * average_weight(w, place_of(out, w.out), pads);
      dx[(int64)r * plane + i] = sum;
    }
  }
}
