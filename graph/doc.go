// Package graph turns an ONNX model into a [Network]: a chain of stages that
// can be run, cut and differentiated.
//
// [Build] binds the batch size, so that every shape is known; lowers each node
// (package lowering) to Ops (package op), computing on the way whatever depends
// on neither the image nor a weight; drops what the logits do not depend on;
// replaces known patterns by fused Ops; and finds the necks, the values that
// every path from the image to the logits passes through. What lies between two
// adjacent necks is a stage: it has one input, one output and some weights. Rows of
// values that nothing reads, such as those of all tokens but the class token above
// the last attention, are then dropped.
// [Network.Layers] groups the weights into layers, and a [Runner] computes spans
// of stages: activations, losses and gradients. The loss is the cross-entropy,
// or for training one of its surrogates ([metric.Loss]).
//
// The package knows nothing of data sets or verdicts.
package graph
