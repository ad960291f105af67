// Images of bytes: resampling in Pillow's fixed point, and the way to a network's input.

// Each output sample of a line is the sum of `count` input samples from `first` on times weights
// [out, most] with 22 bits after the point (dataset/resample.go), rounded and limited to a byte.
#define PRECISION_BITS 22
__device__ __forceinline__ byte rounded(int sum) {
  int v = sum >> PRECISION_BITS;
  return (byte)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// Along the rows: x [lines, in, channels] to y [lines, out, channels].
KERNEL(resize_rows, const byte *x, byte *y, const int *first, const int *count, const int *weights, int most, unsigned lines, int in,
       int out, int channels) {
  EACH_ROW(r, lines) EACH_COLUMN(i, out *channels) {
    int o = i / channels, sum = 1 << (PRECISION_BITS - 1);
    const byte *xr = x + ((int64)r * in + first[o]) * channels + i % channels;
    for (int k = 0; k < count[o]; k++) sum += xr[k * channels] * weights[o * most + k];
    y[(int64)r * out * channels + i] = rounded(sum);
  }
}

// Along the columns: x [images, in, line] to y [images, out, line].
KERNEL(resize_columns, const byte *x, byte *y, const int *first, const int *count, const int *weights, int most, int images, int in,
       int out, int line) {
  EACH_ROW(r, (unsigned)images * out) {
    int o = r % out;
    const byte *xr = x + ((int64)(r / out) * in + first[o]) * line;
    EACH_COLUMN(i, line) {
      int sum = 1 << (PRECISION_BITS - 1);
      for (int k = 0; k < count[o]; k++) sum += xr[(int64)k * line + i] * weights[o * most + k];
      y[(int64)r * line + i] = rounded(sum);
    }
  }
}

// y [images, channels, out_h, out_w] = table [channels, 256] of the bytes of x, [.., h, w, channels]
// or, planar, [.., channels, h, w]; top and left (which may be negative) is the corner of what is
// cut out, black outside. Image i of the result is image index[i] of x, or i if index is null.
KERNEL(images_to_float, const byte *x, const int *index, const float *table, float *y, int images, int channels, int h, int w, int out_h,
       int out_w, int top, int left, int planar) {
  EACH_ROW(r, (unsigned)images * channels) {
    int c = r % channels, n = r / channels;
    const byte *xr = x + (int64)(index ? index[n] : n) * channels * h * w;
    EACH_COLUMN(i, out_h *out_w) {
      int row = (int)i / out_w + top, column = (int)i % out_w + left, v = 0;
      if (row >= 0 && row < h && column >= 0 && column < w) {
        int pixel = row * w + column;
        v = planar ? xr[c * h * w + pixel] : xr[pixel * channels + c];
      }
      y[(int64)r * out_h * out_w + i] = table[c * 256 + v];
    }
  }
}
