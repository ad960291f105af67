// Images of bytes, on the way to a network's input.

// y [rows, run] = table [channels, 256] of the bytes of x, of the same size: row r is of channel
// r % channels.
KERNEL(decode_bytes, const byte *x, const float *table, float *y, unsigned rows, int channels, int run) {
  EACH_ROW(r, rows) {
    const float *values = table + r % channels * 256;
    int64 first = (int64)r * run;
    EACH_COLUMN(i, run) y[first + i] = values[x[first + i]];
  }
}
