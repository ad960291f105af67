// Package kernel computes what neural networks spend their time in: matrix products,
// convolutions, and the row and elementwise functions between them.
//
// All kernels work on slices that the caller owns, row-major and without gaps except where a
// leading dimension says otherwise; they keep no reference to them. They run under a Context,
// which says on how many threads and with which micro-kernels:
//
//	c := kernel.NewContext(0) // all threads, the best micro-kernels of this CPU
//	kernel.Gemm(c, false, false, rows, out, in, 1, x, in, w, out, 0, y, out) // y = x·w
//	kernel.LayerNorm(c, y, scale, bias, y, rows, out, 1e-6)
//	kernel.GELU(c, y, y)
//
// What follows a product and needs no more than an element of it, and what goes with that, is
// done by tiles while they are in the cache: see [Linear], and [Ending] for convolutions.
//
// # Variants
//
// For float32 there is assembly for AVX2 and for AVX-512, chosen by CPUID, and for NEON, which
// all of arm64 has. The plain Go code beside it serves all other CPUs and all of float64; where
// it is slow and obvious on purpose, working in float64 throughout, it is the definition that the
// assembly is tested against. NEON has been run under qemu's emulation of arm64 only: its results
// are tested, its speed has never been measured.
//
// # Reproducibility
//
// A result has the same bits for any number of threads, and for AVX2, AVX-512 and NEON:
//
//   - an element of a matrix product is a sum of fused multiply-adds in ascending order of k,
//     in blocks whose depth follows from k alone;
//   - so is an element of a convolution, over channels and taps, and of the cotangent of its
//     filters, over positions, which a depthwise one sums in float64;
//   - a sum along a row runs in 32 interleaved lanes, which are then folded in halves, and one
//     down a column, of a softmax, in the order of the rows;
//   - sums over rows, Sum and Dot run in float64 and in a fixed order;
//   - every other element is computed by the same instructions wherever it stands.
//
// Plain differs from the three in the last bits of float32.
//
// # Accuracy
//
// Exp, Erf, Tanh and Sigmoid in float32 are within 1e-6 of the value, relatively; GELU and its
// tanh form within 1e-6 relatively or 1e-9 absolutely; their gradients within 1e-6 relatively
// or absolutely. Infinities and NaNs go through as the formulas have it. In float64 all
// functions have the accuracy of package math.
//
// # Misuse
//
// Slices shorter than the sizes passed with them panic, as does a Variant that this CPU
// cannot run: both are faults of the calling code.
//
// # Assembly
//
// The files *_amd64.s, *_arm64.s and *_stub_*.go are made by internal/asm; go generate writes
// them anew. Those for arm64 are a translation of the same code for vectors of 128 bits.
package kernel
