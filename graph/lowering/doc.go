// Package lowering translates the nodes of an ONNX graph into the Ops of
// package op.
//
// A [Lowering] takes one node, with its attributes and the semantics of its
// opset version, apart into Ops; a [Registry] maps the names of ONNX operators
// to lowerings. Version traps (axes as attribute or input, Softmax before and
// after opset 13, …) end here: what comes after sees Ops only.
//
// A family of operators is one file, called as the file of package op that
// computes it, if there is one.
//
// To add an operator, see docs/adding-an-op.md.
package lowering
