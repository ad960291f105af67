// Package shapes is the arithmetic of shapes: sizes, strides, axes and
// broadcasting, by the rules that ONNX shares with NumPy. A shape is a list of
// sizes, outermost dimension first; nil and empty are rank 0.
package shapes
