// Package op holds the operations a network is made of: for each its shape
// rule, its forward computation and its gradient.
//
// There are two levels. An [Op] is one computation with everything static
// already decided (axes, pads, sizes): it infers its result's type, computes
// it, and knows its gradient in terms of other Ops. A [Lowering] translates one
// ONNX node, with its attributes and the semantics of its opset version, into
// Ops; the registry maps ONNX operator names to lowerings. Version traps (axes
// as attribute or input, Softmax before and after opset 13, …) end in the
// lowering: what comes after it sees Ops only.
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
