// Package gpu computes the operations of graph/op on a GPU.
//
// A [Device] holds arrays and vectors in its memory and computes with them: it is
// what a graph.Runner, a diagnosis and a treatment need of a device (nn.Device,
// exec.Device). The operations of float32 that plain vision transformers and
// residual networks are made of, and their gradients, have kernels (the files are
// called like the families in graph/op); any other runs on the host between two
// copies, so that every model that runs on the CPU runs on the GPU. [HasKernel] says
// which is which.
//
// In BF16 the arrays of a plan between its inputs and outputs are of bfloat16
// (exec.Config). Most kernels take either format; the others, and the host, get
// float32 by conversions. Arithmetic is in float32.
//
// Results differ from the CPU's by rounding, and more where products are of
// lower precision. There is one difference in errors: an index or a label out of
// range, which panics on the CPU, gives NaN.
//
// Without the build tag gpu there is no device: [Open] says so.
package gpu
