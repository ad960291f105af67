// Package kernels runs the device's kernels: src/kernels.cu, compiled to
// kernels.ptx, each behind a function that checks sizes and chooses the grid.
// It knows addresses and sizes, not operations; each kernel has the definition
// of the operation in graph/op that it serves.
//
// Arrays are row-major and of float32 unless said otherwise; an [Array] may be of
// bfloat16, each of a call apart from the others. Functions put the
// work into a [Queue] and return; an error of the work itself shows when the
// queue's stream is waited for. Nothing is allocated: functions that need
// scratch memory take it as work, and a function of the same name with Work
// behind it says how many bytes. Results depend on the sizes only, those of
// MultiplyAdd on the alignment of the addresses, too: the same call gives the same
// bits on every run.
//
// What serves which operation of graph/op, forward and gradient:
//
//	Linear, MatMul                    Multiply, MultiplyAdd; Reduce for the bias
//	LayerNormalization, RMSNorm.      Normalize, NormalizeGrad, NormalizeScaleGrad; Reduce for the bias
//	BatchNormalization                BatchNorm, BatchNormInputGrad, BatchNormParameterGrads
//	Softmax, LogSoftmax               Softmax, SoftmaxGrad
//	PackedAttention                   Attention
//	PatchEmbedding                    Move (two-dimensional patches), then as Linear
//	Conv                              Convolution; Reduce for the bias
//	MaxPool, AveragePool              MaxPool, AveragePool and their Grads
//	Neg to Clip                       Unary, UnaryGrad
//	Softplus's gradient, Exp's, …     as graph/op composes them, of Unary and Binary
//	Add to Min, PowGradient           Binary; Reduce for SumTo
//	Reduce*, SumTo                    Reduce, then Unary(Sqrt) for ReduceL2
//	from one format to another        Convert
//	Spread, Expand, Transpose, Slice, Place, Concat, Pad (constant)   Move, after Clear or Fill where not all is written
//	Equal, Less, Greater, …           Compare
//	Where, Mask                       Select
//	IsNaN, Cast of truth values       IsNaN, FromBool
//	Gather                            Move where the indices are known, else Gather, GatherGrad
//	Loss of each kind                 Loss, LossGrad
//
// Vectors of weights have their own (Combine, Dot, SGD and others), and so have images, which
// come as bytes (Decode).
//
// Nothing that computes on integers or combines truth values has a kernel, nor
// have Sin, Cos, Mod, IsInf, Pad's other modes, Resize, Trilu,
// CumSum, TopK, GatherElements, GatherND, ScatterGradient, Im2Col and Col2Im as
// operations, MaxPoolIndices, ReduceProd's gradient and quantisation.
//
// [PTX] is compiled from [Source] by internal/ptx, which needs nvcc. Nothing else
// does: the compiled text is kept with its source, and a test compares hashes.
//
//go:generate go run ./internal/ptx
package kernels

import "embed"

// Source is the kernels' text, src/*: what the fake device compiles, and what
// the hash in PTX is of.
//
//go:embed src
var Source embed.FS

// PTX is the kernels compiled for compute capability 7.5 and up.
//
//go:embed kernels.ptx
var PTX []byte
