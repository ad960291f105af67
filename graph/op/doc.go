// Package op holds what a network is made of.
//
// An [Op] is one operation with everything static already decided (axes, pads,
// sizes): it infers its result's type, computes it, and knows its gradient in
// terms of other Ops. Which Ops a node of an ONNX graph stands for is the
// business of package lowering.
//
// A [Program] is the list of Ops that an ONNX graph was lowered to. An Op whose
// inputs are all known is computed at once when it is emitted, so all shape
// arithmetic disappears while the program is being built. A weight is never
// "known": operations on weights alone (a Transpose of an initializer) stay
// steps of the program, so that gradients flow through them to the weight as it
// stands in the file.
//
// A [Graph] is a Gorgonia expression graph of Ops. Gorgonia differentiates it
// (gorgonia.Backpropagate calls each Op's Gradient); package exec runs it.
//
// To add an operator, see docs/adding-an-op.md.
package op
